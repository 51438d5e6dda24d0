-- Run once by the database's image, as the owner, in the database "overread": the role that the service connects as
-- (docs/reference/database-roles.md). `overread db upgrade` gives it its rights.
\getenv password OVERREAD_SERVICE_PASSWORD
CREATE ROLE overread_app LOGIN PASSWORD :'password';
REVOKE ALL ON DATABASE overread FROM PUBLIC;
GRANT CONNECT ON DATABASE overread TO overread_app;
