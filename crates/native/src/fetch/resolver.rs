//! Names to addresses, with nothing let through that must not be connected to.
//!
//! The client connects to what this hands it and asks again for every connection, so what is checked
//! and what is used cannot differ: a name that is public when looked at and private when connected
//! to (DNS rebinding) has no gap to slip through.

use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;

use super::rules::Rules;
use crate::{Error, ErrorKind};

/// The answers of another resolver, checked.
pub(super) struct Guarded {
    pub(super) rules: Arc<Rules>,
    pub(super) names: Arc<dyn Resolve>,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = Arc::clone(&self.rules);
        let answer = self.names.resolve(name);
        Box::pin(async move {
            let mut addresses: Vec<_> = match answer.await {
                Ok(addresses) => addresses.collect(),
                Err(e) => return Err(unresolved(&e.to_string()).with_source(e).into()),
            };
            if addresses.is_empty() {
                return Err(unresolved("it has no address").into());
            }
            for address in &mut addresses {
                // One that is not public spoils the whole answer. A name with both kinds is an
                // attack or a mistake, and to pick the good ones would let the attacker try again.
                rules.check_address(address.ip())?;
                // The port is the URL's to say.
                address.set_port(0);
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn unresolved(why: &str) -> Error {
    Error::new(ErrorKind::Network, format!("the host cannot be resolved: {why}"))
}

/// The resolver of the machine.
pub(super) struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses: Vec<_> = lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
