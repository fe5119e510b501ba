"""The tables of the tracker and the steps that bring an older file up to date."""

from punie.database import Migrations

MIGRATIONS: Migrations = (
    (
        # What a run is asked for by is in columns; `record` is its whole record, as JSON.
        """
        CREATE TABLE runs (
            id TEXT PRIMARY KEY NOT NULL,
            reference TEXT NOT NULL,
            weights TEXT,
            quantisation TEXT,
            adapter TEXT,
            recipe TEXT NOT NULL,
            started REAL NOT NULL,
            record TEXT NOT NULL,
            added REAL NOT NULL
        )
        """,
        "CREATE INDEX runs_by_reference ON runs (reference, started)",
        """
        CREATE TABLE suites (
            run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
            name TEXT NOT NULL,
            version INTEGER NOT NULL,
            items INTEGER NOT NULL,
            PRIMARY KEY (run, name)
        )
        """,
        # The items one by one, without their conversations; `result` is JSON.
        """
        CREATE TABLE results (
            run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
            place INTEGER NOT NULL,
            suite TEXT NOT NULL,
            item TEXT NOT NULL,
            kind TEXT NOT NULL,
            result TEXT NOT NULL,
            PRIMARY KEY (run, place)
        )
        """,
        # Counts of what is right, so that lists and histories need not read every item. The kind ""
        # is all kinds together.
        """
        CREATE TABLE scores (
            run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
            suite TEXT NOT NULL,
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            strict INTEGER NOT NULL,
            soft INTEGER NOT NULL,
            tries INTEGER NOT NULL,
            PRIMARY KEY (run, suite, kind, name)
        ) WITHOUT ROWID
        """,
        # Rows that others published: in a table of their own, so that no count ever holds them.
        """
        CREATE TABLE reported (
            source TEXT NOT NULL,
            place INTEGER NOT NULL,
            row TEXT NOT NULL,
            PRIMARY KEY (source, place)
        )
        """,
    ),
)
