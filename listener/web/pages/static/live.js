// Brings the open page up to date when the server says that something changed, and shows times in the reader's zone.
"use strict";
(() => {
  const PAUSE = 1500; // milliseconds between two updates, however much happens

  const localTimes = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      time.title = new Date(time.dateTime).toLocaleString() + " in your time zone";
    }
  };

  const say = (text) => {
    const feed = document.getElementById("feed");
    if (feed && feed.textContent !== text) feed.textContent = text;
  };

  const openDetails = (root) => [...root.querySelectorAll("details[open][id]")].map((one) => one.id);

  const bringUpToDate = async () => {
    const answer = await fetch(location.href, { headers: { "X-Overread-Live": "1" }, cache: "no-store" });
    if (answer.redirected) { location.reload(); return; } // the session has ended
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
    const live = document.getElementById("live");
    if (!fresh || !live) return;
    if (fresh.innerHTML !== shown) {
      const open = openDetails(live);
      const focused = live.contains(document.activeElement) ? document.activeElement.id : "";
      shown = fresh.innerHTML;
      live.replaceChildren(...fresh.childNodes);
      for (const id of open) document.getElementById(id)?.setAttribute("open", "");
      if (focused) document.getElementById(focused)?.focus();
      localTimes(live);
    }
    live.dataset.marker = fresh.dataset.marker;
  };

  let shown = "";
  let source = null;
  let updating = false;
  let wanted = false;

  const update = async () => {
    wanted = true;
    if (updating) return;
    updating = true;
    while (wanted) {
      wanted = false;
      try { await bringUpToDate(); } catch { /* the next change, or the next connection, tries again */ }
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
    updating = false;
  };

  const listen = () => {
    const live = document.getElementById("live");
    if (!live || source || document.hidden) return;
    source = new EventSource(live.dataset.feed);
    source.onopen = () => say("Live: changes appear by themselves.");
    source.onerror = () => say(source?.readyState === EventSource.CLOSED
      ? "Load the page again to see changes." : "Not connected; trying again.");
    source.addEventListener("ended", () => { leave(); location.reload(); }); // the session has ended
    source.addEventListener("marker", (event) => {
      if (event.data !== document.getElementById("live").dataset.marker) update();
    });
  };

  const leave = () => { source?.close(); source = null; };

  localTimes(document);
  document.addEventListener("visibilitychange", () => (document.hidden ? leave() : listen()));
  addEventListener("pagehide", leave);
  listen();
})();
