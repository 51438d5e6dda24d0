"""Algorithm folders from what other frameworks leave behind; here torch may be imported, in serving code it may not."""
