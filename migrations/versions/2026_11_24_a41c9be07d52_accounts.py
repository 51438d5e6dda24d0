"""Local accounts and their sessions at the web door.

Can the previous release run beside it: yes, it knows neither table.
"""

from alembic import op

revision = "a41c9be07d52"
down_revision = "5d0c2f7a91be"
branch_labels = None
depends_on = None

_ACCOUNT = """
CREATE TABLE account (
    id bigint GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    roles text[] NOT NULL,
    password_hash text NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    disabled_at timestamptz,
    last_login_at timestamptz,
    CONSTRAINT account_pkey PRIMARY KEY (id),
    CONSTRAINT account_name_is_simple CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
    CONSTRAINT account_roles_known
        CHECK (roles <@ ARRAY['viewer', 'operator', 'administrator', 'auditor'] AND cardinality(roles) > 0),
    CONSTRAINT account_name_key UNIQUE (name)
);
"""

_WEB_SESSION = """
CREATE TABLE web_session (
    token_sha256 text NOT NULL,
    account_id bigint NOT NULL,
    started_at timestamptz DEFAULT now() NOT NULL,
    last_seen_at timestamptz DEFAULT now() NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT web_session_pkey PRIMARY KEY (token_sha256),
    CONSTRAINT web_session_token_sha256_is_hexadecimal CHECK (token_sha256 ~ '^[0-9a-f]{64}$'),
    CONSTRAINT web_session_account_id_fkey FOREIGN KEY(account_id) REFERENCES account (id)
);
CREATE INDEX web_session_of_account ON web_session (account_id);
"""


def upgrade() -> None:
    op.execute(_ACCOUNT)
    op.execute(_WEB_SESSION)


def downgrade() -> None:
    op.execute("DROP TABLE web_session")
    op.execute("DROP TABLE account")
