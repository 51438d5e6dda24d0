-- What keeps the connected role from changing audit rows, and what does not.
SELECT
    current_user AS role,
    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
    pg_has_role(current_user, relowner, 'MEMBER') AS owner,
    has_any_column_privilege(pg_class.oid, 'INSERT') AS may_add,
    has_any_column_privilege(pg_class.oid, 'UPDATE') OR has_table_privilege(pg_class.oid, 'DELETE, TRUNCATE')
        OR has_any_column_privilege('audit_head', 'INSERT, UPDATE')
        OR has_table_privilege('audit_head', 'DELETE, TRUNCATE') AS may_change,
    ARRAY(
        SELECT wanted.name FROM (VALUES ('audit_event_is_append_only'), ('audit_event_joins_chain')) AS wanted (name)
        WHERE NOT EXISTS (
            SELECT FROM pg_trigger WHERE tgrelid = pg_class.oid AND tgname = wanted.name AND tgenabled = 'A'
        )
        ORDER BY wanted.name
    ) AS disabled_triggers
FROM pg_class
WHERE pg_class.oid = 'audit_event'::regclass;
