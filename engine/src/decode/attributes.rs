//! What a span's attributes say of the call it is part of: its kind, whether it failed, whom it calls.
//!
//! The names are those of OpenTelemetry's semantic conventions, old and new, with their dots as underscores; OpenObserve
//! adds what it infers from them itself (`infer_service_*`).

use super::fields::Role;
use super::row::Text;
use super::scalar::Field;
use crate::record::{Peer, SpanKind};
use std::borrow::Cow;

/// The attributes of one span by their roles, few of which any span has.
#[derive(Debug, Default)]
pub(super) struct Attributes<'a>(Vec<(Role, Text<'a>)>);

impl<'a> Attributes<'a> {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes the cell of a column with this role; see [`Text::offer`].
    pub(super) fn offer(&mut self, role: Role, rank: u8, field: Field<Cow<'a, str>>) -> bool {
        if let Some((_, text)) = self.0.iter_mut().find(|(r, _)| *r == role) {
            return text.offer(rank, field);
        }
        let mut text = Text::default();
        let first = text.offer(rank, field);
        self.0.push((role, text));
        first
    }

    /// The text of a role, if there is one.
    pub(super) fn get(&self, role: Role) -> Option<&str> {
        let (_, text) = self.0.iter().find(|(r, _)| *r == role)?;
        text.get().ok().flatten()
    }

    /// The number of `SpanKind` in OTLP's trace.proto, which OpenObserve writes as text, or its name.
    pub(super) fn kind(&self) -> SpanKind {
        let Some(text) = self.get(Role::Kind) else {
            return SpanKind::Unspecified;
        };
        let is = |name: &str| {
            text.len() >= name.len()
                && text.is_char_boundary(text.len() - name.len())
                && text.split_at(text.len() - name.len()).1.eq_ignore_ascii_case(name)
        };
        match text {
            "1" => SpanKind::Internal,
            "2" => SpanKind::Server,
            "3" => SpanKind::Client,
            "4" => SpanKind::Producer,
            "5" => SpanKind::Consumer,
            _ if is("internal") => SpanKind::Internal,
            _ if is("server") => SpanKind::Server,
            _ if is("client") => SpanKind::Client,
            _ if is("producer") => SpanKind::Producer,
            _ if is("consumer") => SpanKind::Consumer,
            _ => SpanKind::Unspecified,
        }
    }

    /// Whether the code of the span's protocol is an error, as OpenTelemetry's semantic conventions set the status by it
    /// (HTTP spans: 5xx, for those who call also 4xx; gRPC spans: those who call all but OK, servers those that are the
    /// server's fault). For spans that have no status of their own.
    pub(super) fn code_is_error(&self, kind: SpanKind) -> bool {
        let code = |role| self.get(role).and_then(|text| text.parse::<u16>().ok());
        let http = code(Role::HttpCode).is_some_and(|code| code >= if kind.calls() { 400 } else { 500 });
        let grpc = code(Role::GrpcCode).is_some_and(|code| match kind.calls() {
            true => code != 0,
            // UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS
            false => matches!(code, 2 | 4 | 12 | 13 | 14 | 15),
        });
        http || grpc
    }

    /// Whom a client or producer span calls: what OpenObserve inferred, else what the attributes of databases, of
    /// messaging and of peers say, in this order.
    pub(super) fn peer(&self, kind: SpanKind) -> Option<Peer<'_>> {
        if !kind.calls() {
            return None;
        }
        let (name, service) = (self.get(Role::PeerName), self.get(Role::PeerService));
        let (database, queue) = (self.get(Role::DbSystem), self.get(Role::QueueSystem));
        let system = self.get(Role::PeerSystem);
        match (self.get(Role::PeerType), name) {
            (Some("database"), Some(_)) => self.database(system.or(database)?, name),
            (Some("queue"), Some(destination)) => Some(Peer::Queue {
                system: system.or(queue)?,
                destination,
            }),
            (Some(_), Some(name)) => Some(Peer::Service(service.unwrap_or(name))),
            _ => match (database, queue, self.get(Role::QueueName)) {
                (Some(system), ..) => self.database(system, self.get(Role::DbName)),
                (None, Some(system), Some(destination)) => Some(Peer::Queue { system, destination }),
                _ => service.map(Peer::Service),
            },
        }
    }

    fn database<'s>(&'s self, system: &'s str, name: Option<&'s str>) -> Option<Peer<'s>> {
        Some(Peer::Database {
            system,
            address: self.get(Role::PeerAddress),
            name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(Role, &'static str)]) -> Attributes<'static> {
        let mut attributes = Attributes::default();
        for (role, text) in pairs {
            attributes.offer(*role, 0, Field::Good((*text).into()));
        }
        attributes
    }

    #[test]
    fn kinds_by_number_and_by_name() {
        let kind = |text| of(&[(Role::Kind, text)]).kind();
        assert_eq!(
            [kind("3"), kind("SPAN_KIND_CLIENT"), kind("Client")],
            [SpanKind::Client; 3]
        );
        assert_eq!([kind("5"), kind("consumer")], [SpanKind::Consumer; 2]);
        assert_eq!(
            [kind("0"), kind(""), kind("é"), of(&[]).kind()],
            [SpanKind::Unspecified; 4]
        );
    }

    #[test]
    fn codes_of_protocols() {
        for (role, code, server, client) in [
            (Role::HttpCode, "399", false, false),
            (Role::HttpCode, "404", false, true),
            (Role::HttpCode, "500", true, true),
            (Role::GrpcCode, "0", false, false),
            (Role::GrpcCode, "5", false, true),
            (Role::GrpcCode, "13", true, true),
            (Role::GrpcCode, "OK", false, false),
        ] {
            let attributes = of(&[(role, code)]);
            let found = (
                attributes.code_is_error(SpanKind::Server),
                attributes.code_is_error(SpanKind::Client),
            );
            assert_eq!(found, (server, client), "{role:?} {code}");
        }
    }

    #[test]
    fn what_is_inferred_comes_first() {
        let database = |address, name| Peer::Database {
            system: "postgresql",
            address,
            name,
        };
        let inferred = [
            (Role::PeerType, "database"),
            (Role::PeerName, "shop"),
            (Role::PeerSystem, "postgresql"),
            (Role::PeerAddress, "pg-main"),
            (Role::DbName, "other"),
            (Role::PeerService, "x"),
        ];
        assert_eq!(
            of(&inferred).peer(SpanKind::Client),
            Some(database(Some("pg-main"), Some("shop")))
        );
        assert_eq!(of(&inferred).peer(SpanKind::Server), None);
        let plain = [(Role::DbSystem, "postgresql"), (Role::DbName, "shop")];
        assert_eq!(of(&plain).peer(SpanKind::Client), Some(database(None, Some("shop"))));
        let queue = [(Role::QueueSystem, "kafka"), (Role::QueueName, "orders")];
        let orders = Peer::Queue {
            system: "kafka",
            destination: "orders",
        };
        assert_eq!(of(&queue).peer(SpanKind::Producer), Some(orders));
        assert_eq!(of(&queue[..1]).peer(SpanKind::Producer), None);
        let rpc = [
            (Role::PeerType, "rpc"),
            (Role::PeerName, "shop.Cart"),
            (Role::PeerService, "cart"),
        ];
        assert_eq!(of(&rpc).peer(SpanKind::Client), Some(Peer::Service("cart")));
        assert_eq!(of(&rpc[..2]).peer(SpanKind::Client), Some(Peer::Service("shop.Cart")));
        assert_eq!(of(&rpc[2..]).peer(SpanKind::Client), Some(Peer::Service("cart")));
    }
}
