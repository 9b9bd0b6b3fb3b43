//! [`Stats`] as a text column of rusqlite and sqlx. Where the database has NULL, `Option<Stats>`
//! tells it from an empty list; plain `Stats` takes both, and empty text, for no samples.

#[cfg(feature = "rusqlite")]
mod with_rusqlite {
    use rusqlite::ToSql;
    use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};

    use crate::stats::Stats;

    impl ToSql for Stats {
        fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
            Ok(self.to_text().into())
        }
    }

    impl FromSql for Stats {
        fn column_result(value: ValueRef<'_>) -> FromSqlResult<Stats> {
            let bytes = match value {
                ValueRef::Null => return Ok(Stats::default()),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
                ValueRef::Integer(_) | ValueRef::Real(_) => return Err(FromSqlError::InvalidType),
            };
            let scanned = Stats::scan_bytes(bytes);
            scanned
                .map(Option::unwrap_or_default)
                .map_err(|error| FromSqlError::Other(error.into()))
        }
    }
}

#[cfg(feature = "sqlx")]
mod with_sqlx {
    use sqlx::encode::IsNull;
    use sqlx::error::BoxDynError;
    use sqlx::{Database, Decode, Encode, Type};

    use crate::stats::Stats;

    impl<DB: Database> Type<DB> for Stats
    where
        String: Type<DB>,
    {
        fn type_info() -> DB::TypeInfo {
            <String as Type<DB>>::type_info()
        }

        fn compatible(info: &DB::TypeInfo) -> bool {
            <String as Type<DB>>::compatible(info)
        }
    }

    impl<'q, DB: Database> Encode<'q, DB> for Stats
    where
        String: Encode<'q, DB>,
    {
        fn encode_by_ref(
            &self,
            buffer: &mut DB::ArgumentBuffer<'q>,
        ) -> Result<IsNull, BoxDynError> {
            <String as Encode<'q, DB>>::encode(self.to_text(), buffer)
        }
    }

    impl<'r, DB: Database> Decode<'r, DB> for Stats
    where
        String: Decode<'r, DB>,
    {
        fn decode(value: DB::ValueRef<'r>) -> Result<Stats, BoxDynError> {
            let text = <String as Decode<'r, DB>>::decode(value)?;
            Ok(Stats::scan(&text)?.unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::contract::Stat;
    use crate::contract::metric::NET_RX;
    use crate::stats::{Stats, timestamp};

    fn samples() -> Stats {
        let at = timestamp::from_unix_nanos(1_480_000_000_123_000_000);
        let none = Stat { timestamp: at, metrics: None };
        Stats(vec![Stat::new(at, [(NET_RX.to_owned(), u64::MAX)].into()), none])
    }

    #[cfg(feature = "rusqlite")]
    #[test]
    fn rusqlite_keeps_samples_in_a_text_column() {
        let db = rusqlite::Connection::open_in_memory().unwrap();
        let echo = |value: &dyn rusqlite::ToSql| {
            db.query_row("select ?1, typeof(?1)", [value], |row| {
                Ok((row.get::<_, Option<Stats>>(0)?, row.get::<_, String>(1)?))
            })
        };
        assert_eq!(echo(&samples()).unwrap(), (Some(samples()), "text".to_owned()));
        assert_eq!(echo(&Stats::default()).unwrap(), (Some(Stats::default()), "text".to_owned()));
        assert_eq!(echo(&samples().to_text().into_bytes()).unwrap().0, Some(samples()));
        assert_eq!(echo(&rusqlite::types::Null).unwrap(), (None, "null".to_owned()));
        let null: Stats = db.query_row("select null", [], |row| row.get(0)).unwrap();
        assert!(null.is_empty());
        assert!(echo(&5).is_err() && echo(&0.5).is_err() && echo(&"{}").is_err());
    }

    #[cfg(feature = "sqlx")]
    #[test]
    fn sqlx_keeps_samples_in_a_text_column() {
        use sqlx::{Connection, SqliteConnection, query_scalar};

        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
            for stats in [samples(), Stats::default()] {
                let echo = query_scalar::<_, Stats>("select ?").bind(stats.clone());
                assert_eq!(echo.fetch_one(&mut db).await.unwrap(), stats);
                let kind = query_scalar::<_, String>("select typeof(?)").bind(&stats);
                assert_eq!(kind.fetch_one(&mut db).await.unwrap(), "text");
            }
            let echo = query_scalar::<_, Option<Stats>>("select ?").bind(None::<Stats>);
            assert_eq!(echo.fetch_one(&mut db).await.unwrap(), None);
            let echo = query_scalar::<_, Stats>("select ?").bind("{}");
            assert!(echo.fetch_one(&mut db).await.is_err());
        });
    }

    /// The implementations are generic: they must hold for any database that has text.
    #[cfg(feature = "sqlx")]
    #[test]
    fn sqlx_needs_no_more_of_a_database_than_text() {
        fn holds<DB: sqlx::Database>()
        where
            String: sqlx::Type<DB> + for<'q> sqlx::Encode<'q, DB> + for<'r> sqlx::Decode<'r, DB>,
        {
            fn column<DB: sqlx::Database, T>()
            where
                T: sqlx::Type<DB> + for<'q> sqlx::Encode<'q, DB> + for<'r> sqlx::Decode<'r, DB>,
            {
            }
            column::<DB, Stats>();
        }
        holds::<sqlx::Sqlite>();
    }
}
