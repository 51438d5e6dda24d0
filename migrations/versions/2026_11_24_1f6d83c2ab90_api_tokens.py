"""Tokens for programs at the web door.

Can the previous release run beside it: yes, it does not know the table.
"""

from alembic import op

revision = "1f6d83c2ab90"
down_revision = "f4b07d5e82c1"
branch_labels = None
depends_on = None

_OF_PROGRAMS = """
CREATE TABLE api_token (
    id bigint GENERATED ALWAYS AS IDENTITY,
    account_id bigint NOT NULL,
    name text NOT NULL,
    token_sha256 text NOT NULL,
    roles text[] NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    expires_at timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT api_token_pkey PRIMARY KEY (id),
    CONSTRAINT api_token_account_id_name_key UNIQUE (account_id, name),
    CONSTRAINT api_token_name_is_simple CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
    CONSTRAINT api_token_roles_known
        CHECK (roles <@ ARRAY['viewer', 'operator', 'administrator', 'auditor'] AND cardinality(roles) > 0),
    CONSTRAINT api_token_token_sha256_is_hexadecimal CHECK (token_sha256 ~ '^[0-9a-f]{64}$'),
    CONSTRAINT api_token_account_id_fkey FOREIGN KEY(account_id) REFERENCES account (id),
    CONSTRAINT api_token_token_sha256_key UNIQUE (token_sha256)
);
"""


def upgrade() -> None:
    op.execute(_OF_PROGRAMS)


def downgrade() -> None:
    op.execute("DROP TABLE api_token")
