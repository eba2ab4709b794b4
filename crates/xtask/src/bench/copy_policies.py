"""Fills a database with copies of its first policy, each about a workspace of its own: copy_policies.py DATABASE COUNT"""

import sqlite3
import sys

database, count = sys.argv[1], int(sys.argv[2])
connection = sqlite3.connect(database)
there = connection.execute("SELECT COUNT(*) FROM policies WHERE removed_at IS NULL").fetchone()[0]
names = [row[1] for row in connection.execute("PRAGMA table_info(policies)")]
first = dict(zip(names, connection.execute("SELECT * FROM policies WHERE name = 'grown-0'").fetchone()))
about = "00000000-0000-7000-8000-000000000000"
assert about in first["body"] and about in first["slots"], "the first policy is about another workspace"


def copy(n):
    row = dict(first, id=f"00000000-0000-7000-9000-{n:012}", name=f"grown-{n}")
    other = f"00000000-0000-7000-8000-{n:012}"
    row["body"], row["slots"] = first["body"].replace(about, other), first["slots"].replace(about, other)
    return [row[name] for name in names]


marks = ", ".join("?" for _ in names)
connection.executemany(f"INSERT INTO policies ({', '.join(names)}) VALUES ({marks})", (copy(n) for n in range(there, count)))
connection.commit()
