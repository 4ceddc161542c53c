//! The two round trips: get many, set many.

use std::error::Error as _;
use std::future::Future;

use futures_util::future::join_all;
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value};
use tokio::time::{Instant, timeout_at};

use super::server::Connection;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It took too long.
    Late,
    /// The connection is gone.
    Lost,
    /// The server knows nothing better than to refuse, with this code: `OOM`, `NOAUTH`, `LOADING`.
    Refused(String),
}

/// What became of one key of a look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Got {
    Value(Vec<u8>),
    Nothing,
    /// There is something else than a string at the key.
    WrongType,
    Failed(Failure),
}

impl Failure {
    /// One word for logs.
    pub(super) fn code(&self) -> &str {
        match self {
            Failure::Late => "late",
            Failure::Lost => "connection lost",
            Failure::Refused(code) => code,
        }
    }

    /// Whether another connection might do better: this one leads to a server that does not answer, or to one that is
    /// no longer the master.
    pub(super) fn is_of_the_connection(&self) -> bool {
        matches!(self, Failure::Late | Failure::Lost)
            || matches!(self, Failure::Refused(code) if code == "READONLY")
    }
}

impl From<&RedisError> for Failure {
    fn from(error: &RedisError) -> Self {
        if error.is_timeout() {
            return Failure::Late;
        }
        if error.is_io_error() || error.is_unrecoverable_error() {
            return Failure::Lost;
        }
        Failure::Refused(error.code().unwrap_or("error").to_owned())
    }
}

/// What of an error may be shown. Never the whole text of a server's: it may quote a password that it did not
/// understand.
pub(in crate::cache) fn describe(error: &RedisError) -> String {
    match (error.code(), error.source()) {
        (Some(code), _) => format!("Redis answers {code}"),
        // Of the operating system, or of TLS.
        (None, Some(source)) if error.is_io_error() => source.to_string(),
        (None, _) => error.category().to_owned(),
    }
}

/// What of the answers to one round trip speaks against the server. What costs time always does; what fails at once
/// does if nothing was answered: a cluster that has lost a node is still of use.
pub(super) fn worst<'a>(
    answers: impl Iterator<Item = Option<&'a Failure>> + Clone,
) -> Option<&'a Failure> {
    let failures = answers.clone().flatten();
    let late = failures.clone().find(|failure| **failure == Failure::Late);
    late.or_else(|| {
        if answers.clone().all(|answer| answer.is_some()) { failures.clone().next() } else { None }
    })
}

/// The values at `names`, in one round trip.
///
/// Single `GET`s rather than one `MGET`, which would hide a wrong type and needs a permission of its own.
pub(super) async fn get(connection: &mut Connection, names: &[String], until: Instant) -> Vec<Got> {
    let commands = names.iter().map(|name| {
        let mut get = redis::cmd("GET");
        get.arg(name);
        get
    });
    let read = |answer: Result<Value, Failure>| match answer {
        Ok(Value::BulkString(bytes)) => Got::Value(bytes),
        Ok(Value::Nil) => Got::Nothing,
        Ok(_) => Got::Failed(Failure::Refused("an answer of another type".to_owned())),
        Err(Failure::Refused(code)) if code == "WRONGTYPE" => Got::WrongType,
        Err(failure) => Got::Failed(failure),
    };
    send(connection, commands, until).await.into_iter().map(read).collect()
}

/// Stores each value under its name for so many milliseconds, in one round trip.
pub(super) async fn set<'a>(
    connection: &mut Connection,
    values: impl Iterator<Item = (&'a str, &'a [u8], u64)>,
    until: Instant,
) -> Vec<Result<(), Failure>> {
    let commands = values.map(|(name, value, millis)| {
        let mut set = redis::cmd("SET");
        set.arg(name).arg(value).arg("PX").arg(millis);
        set
    });
    send(connection, commands, until).await.into_iter().map(|answer| answer.map(|_| ())).collect()
}

/// Sends all commands before it waits for the first answer, and gives as many answers as there are commands.
async fn send(
    connection: &mut Connection,
    commands: impl Iterator<Item = Cmd>,
    until: Instant,
) -> Vec<Result<Value, Failure>> {
    match connection {
        Connection::Single(connection) => {
            let mut pipeline = Pipeline::new();
            for command in commands {
                pipeline.add_command(command);
            }
            let count = pipeline.len();
            match in_time(until, connection.send_packed_commands(&pipeline, 0, count)).await {
                Ok(values) if values.len() == count => values
                    .into_iter()
                    .map(|value| value.extract_error().map_err(|e| Failure::from(&e)))
                    .collect(),
                Ok(_) => vec![Err(Failure::Refused("too few answers".to_owned())); count],
                Err(failure) => vec![Err(failure); count],
            }
        }
        // A pipeline would have to stay within one slot. What goes to one node shares its connection, so this is one
        // round trip too; and a node that does not answer takes nothing from the others.
        Connection::Cluster(connection) => {
            let answers = commands.map(|command| {
                let mut connection = connection.clone();
                async move { in_time(until, command.query_async(&mut connection)).await }
            });
            join_all(answers).await
        }
    }
}

async fn in_time<T>(
    until: Instant,
    answer: impl Future<Output = RedisResult<T>>,
) -> Result<T, Failure> {
    match timeout_at(until, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Failure::from(&error)),
        Err(_) => Err(Failure::Late),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_speaks_against_a_server() {
        let (late, lost) = (Failure::Late, Failure::Lost);
        let cases = [
            ("all is well", vec![None, None], None),
            ("one key of a dead node", vec![None, Some(&lost)], None),
            ("all are lost", vec![Some(&lost), Some(&lost)], Some(&lost)),
            ("one that took too long", vec![None, Some(&lost), Some(&late)], Some(&late)),
        ];
        for (name, answers, expected) in cases {
            assert_eq!(worst(answers.into_iter()), expected, "{name}");
        }
    }
}
