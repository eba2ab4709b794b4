use super::super::{Conn, DbError, Param, Row, testkit::databases};

const SCHEMA: &str = "CREATE TABLE parent (id {{int}} PRIMARY KEY){{strict}}; \
    CREATE TABLE cell (id {{int}} PRIMARY KEY, t TEXT, b {{bytes}}, n {{int}}, \
        parent {{int}} REFERENCES parent (id), small {{int}} NOT NULL DEFAULT 0 CHECK (small < 10)){{strict}}; \
    CREATE UNIQUE INDEX cell_by_t ON cell (t);";

#[test]
fn parameters_are_bound_by_number_and_not_by_appearance() {
    for db in databases() {
        db.with(|conn| {
            let row = conn
                .query_opt(
                    "SELECT CAST($2 AS TEXT), CAST($1 AS TEXT), CAST($3 AS TEXT), CAST($2 AS TEXT)",
                    &["one".into(), "two".into(), "three".into()],
                )?
                .unwrap();
            let texts: Vec<_> = (0..4).map(|i| row.text(i).unwrap()).collect();
            assert_eq!(texts, ["two", "one", "three", "two"], "{}", db.engine);
            Ok(())
        });
    }
}

#[test]
fn every_type_and_null_comes_back_as_it_went_in() {
    for db in databases() {
        db.schema(SCHEMA);
        db.with(|conn| {
            let all_bytes: Vec<u8> = (0..=255).collect();
            for (id, text, bytes, int) in [
                (1, Some("naïve ☃ 'quoted' $1"), Some(all_bytes.as_slice()), Some(i64::MAX)),
                (2, Some(""), Some(&[][..]), Some(i64::MIN)),
                (3, None, None, None),
            ] {
                let changed = conn.execute(
                    "INSERT INTO cell (id, t, b, n) VALUES ($1, $2, $3, $4)",
                    &[id.into(), text.into(), bytes.into(), int.into()],
                )?;
                assert_eq!(changed, 1);
                let row = conn.query_opt("SELECT t, b, n FROM cell WHERE id = $1", &[id.into()])?.unwrap();
                assert_eq!(row.opt_text(0)?, text, "{}", db.engine);
                assert_eq!(row.opt_bytes(1)?, bytes, "{}", db.engine);
                assert_eq!(row.opt_int(2)?, int, "{}", db.engine);
            }
            let flags: [Param<'_>; 2] = [true.into(), false.into()];
            let row = conn.query_opt("SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT)", &flags)?.unwrap();
            assert_eq!((row.int(0)?, row.int(1)?), (1, 0));
            assert_eq!(conn.execute("UPDATE cell SET n = 0 WHERE id > $1", &[1_i64.into()])?, 2);
            let given = conn.query("DELETE FROM cell WHERE id > $1 RETURNING id", &[1_i64.into()])?;
            assert_eq!(given.len(), 2);
            Ok(())
        });
    }
}

#[test]
fn a_wrong_shape_is_an_error_that_names_the_column() {
    for db in databases() {
        db.schema(SCHEMA);
        db.with(|conn| {
            conn.execute("INSERT INTO cell (id, t) VALUES (1, $1)", &["canary".into()])?;
            let row = conn.query_opt("SELECT id, t, n FROM cell", &[])?.unwrap();
            for (error, wanted) in [
                (row.int(1).map(drop), "column 1 `t` should be integer but is text"),
                (row.text(0).map(drop), "column 0 `id` should be text but is integer"),
                (row.int(2).map(drop), "column 2 `n` should be integer but is null"),
                (row.bytes(7).map(drop), "column 7 `?` should be bytes but is no such column"),
            ] {
                assert_eq!(error, Err(DbError::Shape(wanted.into())), "{}", db.engine);
            }
            assert!(matches!(conn.query("SELECT id FROM cell WHERE id = $1", &[]), Err(DbError::Shape(_))));
            assert!(matches!(
                conn.execute("UPDATE cell SET t = $1", &["a\0b".into()]),
                Err(DbError::Shape(text)) if text.contains("NUL")
            ));
            conn.execute("INSERT INTO cell (id) VALUES (2)", &[])?;
            assert!(matches!(conn.query_opt("SELECT id FROM cell", &[]), Err(DbError::Shape(_))));
            Ok(())
        });
    }
}

/// Runs the statement and expects it to fail without a trace of the value it was given.
fn fails(conn: &mut Conn, sql: &'static str, params: &[Param<'_>]) -> DbError {
    let error = conn.execute(sql, params).unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("canary"), "the value leaks: {shown}");
    error
}

#[test]
fn broken_rules_are_told_apart_and_never_quote_a_value() {
    for db in databases() {
        db.schema(SCHEMA);
        db.with(|conn| {
            conn.execute("INSERT INTO cell (id, t) VALUES (1, $1)", &["canary".into()])?;
            let again = "INSERT INTO cell (id, t) VALUES ($1, $2)";
            match fails(conn, again, &[2_i64.into(), "canary".into()]) {
                DbError::Unique { constraint } => assert!(["cell.t", "cell_by_t"].contains(&constraint.as_str())),
                other => panic!("{}: {other:?}", db.engine),
            }
            assert!(matches!(fails(conn, again, &[1_i64.into(), "canary2".into()]), DbError::Unique { .. }));
            let orphan = "INSERT INTO cell (id, t, parent) VALUES (3, $1, 404)";
            assert_eq!(fails(conn, orphan, &["canary3".into()]), DbError::ForeignKey, "{}", db.engine);
            let large = "INSERT INTO cell (id, t, small) VALUES (4, $1, 11)";
            assert_eq!(fails(conn, large, &["canary4".into()]), DbError::Check, "{}", db.engine);
            let missing = "INSERT INTO cell (id, t, small) VALUES (5, $1, NULL)";
            assert_eq!(fails(conn, missing, &["canary5".into()]), DbError::Check, "{}", db.engine);
            // The engines name a wrong type differently; neither may quote it, and neither may store it.
            fails(conn, "INSERT INTO cell (id, n) VALUES (6, $1)", &["canary6".into()]);
            fails(conn, "UPDATE cell SET n = CAST($1 AS BIGINT) + no_such_column", &["canary7".into()]);
            assert_eq!(conn.query("SELECT id FROM cell", &[])?.len(), 1);
            Ok(())
        });
    }
}

#[test]
fn a_hundred_thousand_rows_stream_through_one_row() {
    for db in databases() {
        db.with(|conn| {
            let (mut count, mut sum, mut place) = (0, 0, None);
            conn.each(
                "WITH RECURSIVE n (i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < $1) \
                 SELECT i, CAST(i AS TEXT) FROM n",
                &[100_000_i64.into()],
                &mut |row: &Row| {
                    assert_eq!(*place.get_or_insert(std::ptr::from_ref(row)), std::ptr::from_ref(row));
                    assert_eq!(row.text(1)?, row.int(0)?.to_string());
                    count += 1;
                    sum += row.int(0)?;
                    Ok(())
                },
            )?;
            assert_eq!((count, sum), (100_000, 5_000_050_000));

            let mut seen = 0;
            let stopped = conn.each("SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3", &[], &mut |_| {
                seen += 1;
                if seen == 2 { Err(DbError::Shape("enough".into())) } else { Ok(()) }
            });
            assert_eq!((stopped, seen), (Err(DbError::Shape("enough".into())), 2));
            assert_eq!(conn.query_opt("SELECT 7", &[])?.unwrap().int(0)?, 7, "usable after an early end");
            Ok(())
        });
    }
}
