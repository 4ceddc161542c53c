//! One server among those of a tier, for looking after it.

use redis::aio::MultiplexedConnection;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo, SingleNodeRoutingInfo};
use redis::{Cmd, Pipeline, RedisResult, Value, cmd, from_redis_value};

use super::names::Names;
use super::server::Connection;

/// A server that keeps keys.
pub(in crate::cache) enum Node {
    Single(MultiplexedConnection),
    Member { cluster: ClusterConnection, host: String, port: u16 },
}

/// How far the names of keys have been read: to the end, or to what the server calls a cursor.
#[derive(Debug)]
pub(in crate::cache) struct Cursor(Option<u64>);

/// The memory of a server.
#[derive(Clone, Copy, Debug)]
pub(in crate::cache) struct Memory {
    pub(in crate::cache) used: u64,
    /// `None` if it is not limited.
    pub(in crate::cache) most: Option<u64>,
}

impl Cursor {
    pub(in crate::cache) fn start() -> Self {
        Cursor(Some(0))
    }
}

/// The servers behind a connection: itself, or the masters of its cluster.
pub(in crate::cache) async fn nodes_of(connection: Connection) -> RedisResult<Vec<Node>> {
    let mut cluster = match connection {
        Connection::Single(connection) => return Ok(vec![Node::Single(connection)]),
        Connection::Cluster(cluster) => cluster,
    };
    // Asked of all, it answers with what each said, by the address that the client knows it by.
    let masters = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
    let answers = cluster.route_command(cmd("PING"), masters).await?;
    let answers: Vec<(String, Value)> = from_redis_value(answers)?;
    let member = |(address, _): (String, Value)| {
        let (host, port) = address.rsplit_once(':')?;
        Some(Node::Member {
            cluster: cluster.clone(),
            host: host.to_owned(),
            port: port.parse().ok()?,
        })
    };
    Ok(answers.into_iter().filter_map(member).collect())
}

impl Node {
    pub(in crate::cache) async fn ping(&mut self) -> RedisResult<()> {
        self.ask(vec![cmd("PING")]).await.map(|_| ())
    }

    /// What the server says of its memory, if it says that.
    pub(in crate::cache) async fn memory(&mut self) -> Option<Memory> {
        let mut info = cmd("INFO");
        info.arg("memory");
        let answer = self.ask(vec![info]).await.ok()?.pop()?;
        let text: String = from_redis_value(answer).ok()?;
        let number = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().parse().ok()
        };
        let most = number("maxmemory").filter(|&bytes| bytes > 0);
        Some(Memory { used: number("used_memory")?, most })
    }

    /// Some more of our keys, of which the server looks through about `count`; `None` after the last. A key that is
    /// there from the first question to the last is given at least once.
    pub(in crate::cache) async fn keys(
        &mut self,
        cursor: &mut Cursor,
        names: &Names,
        count: usize,
    ) -> RedisResult<Option<Vec<String>>> {
        let Some(position) = cursor.0 else { return Ok(None) };
        let mut scan = cmd("SCAN");
        scan.arg(position).arg("MATCH").arg(names.pattern()).arg("COUNT").arg(count);
        let answer = self.ask(vec![scan]).await?.pop().unwrap_or(Value::Nil);
        let (next, keys): (u64, Vec<Vec<u8>>) = from_redis_value(answer)?;
        cursor.0 = (next != 0).then_some(next);
        let ours = |key| String::from_utf8(key).ok().filter(|name| names.is_ours(name));
        Ok(Some(keys.into_iter().filter_map(ours).collect()))
    }

    /// What keys take in memory, of those where the server says so.
    pub(in crate::cache) async fn sizes(&mut self, keys: &[String]) -> Vec<u64> {
        let usage = |key| {
            let mut usage = cmd("MEMORY");
            usage.arg("USAGE").arg(key);
            usage
        };
        let answers = self.ask(keys.iter().map(usage).collect()).await.unwrap_or_default();
        answers.into_iter().filter_map(|answer| from_redis_value(answer).ok()).collect()
    }

    /// Removes keys, and says how many of them there were.
    pub(in crate::cache) async fn unlink(&mut self, keys: &[String]) -> RedisResult<u64> {
        // One command for each: those of one server are not of one slot.
        let unlink = |key| {
            let mut unlink = cmd("UNLINK");
            unlink.arg(key);
            unlink
        };
        let answers = self.ask(keys.iter().map(unlink).collect()).await?;
        answers.into_iter().map(|answer| Ok(from_redis_value::<u64>(answer)?)).sum()
    }

    /// Asks this server and no other, in one round trip.
    async fn ask(&mut self, commands: Vec<Cmd>) -> RedisResult<Vec<Value>> {
        let mut pipeline = Pipeline::new();
        for command in commands {
            pipeline.add_command(command);
        }
        let count = pipeline.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let answers = match self {
            Node::Single(connection) => {
                connection.send_packed_commands(&pipeline, 0, count).await?
            }
            Node::Member { cluster, host, port } => {
                let here = SingleNodeRoutingInfo::ByAddress { host: host.clone(), port: *port };
                cluster.route_pipeline(pipeline, 0, count, here).await?
            }
        };
        answers.into_iter().map(Value::extract_error).collect()
    }
}
