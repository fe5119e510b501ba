"""The tables of the session store and the steps that bring an older file up to date."""

from punie.database import Migrations

MIGRATIONS: Migrations = (
    (
        """
        CREATE TABLE sessions (
            id TEXT PRIMARY KEY NOT NULL,
            cwd TEXT NOT NULL,
            title TEXT,
            meta TEXT NOT NULL,
            created REAL NOT NULL,
            updated REAL NOT NULL
        )
        """,
        "CREATE INDEX sessions_by_updated ON sessions (updated DESC)",
        """
        CREATE TABLE events (
            session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
            seq INTEGER NOT NULL,
            kind TEXT NOT NULL,
            payload TEXT NOT NULL,
            at REAL NOT NULL,
            PRIMARY KEY (session_id, seq)
        )
        """,
    ),
)
