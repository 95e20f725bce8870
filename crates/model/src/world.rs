//! The paths of a plan over a testbed: from each producer to its node, between nodes, into queues, to each consumer and back.

use crate::{
    cargo::Cargo,
    error::ModelError,
    hosts::{Hosts, Link, cost},
    network::{Cost, Lane, Network, Path, Pipe, Station, Step, Unit},
    testbed::{Behind, Leader, Route, Testbed, Wire},
};
use profile::{LeaderLocator, Plan, QueueType};
use std::collections::BTreeMap;

/// The paths of a producer.
#[derive(Debug)]
pub struct ProducerPaths {
    /// To its node.
    pub publish: Path,
    /// The confirms from there, or from the node of its queue.
    pub confirm: Path,
    /// Its node.
    pub node: u32,
    /// What its node has taken in, and its queues do not have yet.
    pub credit: Pipe,
    /// Replies: into its queue, and from there to it.
    pub replies: Option<(Path, Path)>,
}

/// The paths of a consumer.
#[derive(Debug)]
pub struct ConsumerPaths {
    /// From its queue to it.
    pub deliver: Path,
    /// Its acknowledgements to its queue.
    pub ack: Path,
    /// Its queue.
    pub queue: u32,
    /// Its replies to the node that it is connected to, and that node.
    pub reply: Option<(Path, u32)>,
}

/// A queue.
#[derive(Debug)]
pub struct QueuePlace {
    /// The node of its leader.
    pub node: u32,
    /// Into it, from that node.
    pub enqueue: Path,
}

/// A plan's paths.
#[derive(Debug)]
pub struct World {
    /// The network.
    pub network: Network<Cargo>,
    /// By producer.
    pub producers: Vec<ProducerPaths>,
    /// By consumer.
    pub consumers: Vec<ConsumerPaths>,
    /// By queue.
    pub queues: Vec<QueuePlace>,
    /// By node and node: the path of messages between them.
    pub transfers: Vec<Vec<Option<Path>>>,
    /// The host of each node.
    pub node_names: Vec<String>,
    /// The link of each host.
    pub links: Vec<Link>,
}

/// What one node sends to another: all of it over one connection.
#[derive(Clone)]
struct Between {
    from: Lane,
    way: Vec<Step>,
    delay_ns: u64,
    to: Lane,
    pipe: Pipe,
}

struct Builder<'a> {
    testbed: &'a Testbed,
    plan: &'a Plan,
    route: &'a Route,
    network: Network<Cargo>,
    hosts: Hosts,
    /// The place of each node.
    nodes: Vec<u32>,
    between: Vec<Vec<Option<Between>>>,
    crowd: Crowd,
}

/// A client's connection: which end is where.
struct Line {
    /// The client, the parts and the node, in this order.
    ends: Vec<(u32, Option<(Lane, Cost)>)>,
    client: Lane,
    node: u32,
}

/// What one direction of a connection carries.
#[derive(Clone, Copy)]
struct Load {
    /// From the client to its node.
    up: bool,
    /// Whether the sender learns when it is written.
    mark: bool,
    /// Messages, beside which confirms and acknowledgements are as nothing.
    messages: bool,
}

impl Load {
    const fn published() -> Self {
        Self { up: true, mark: true, messages: true }
    }

    const fn delivered() -> Self {
        Self { up: false, mark: false, messages: true }
    }

    const fn control(up: bool) -> Self {
        Self { up, mark: false, messages: false }
    }
}

/// The connections that share links, and what they hold before them.
#[derive(Default)]
struct Crowd {
    /// By the link to a host: connections that carry messages over it.
    connections: BTreeMap<Station, u32>,
    pipes: Vec<(Pipe, Station)>,
}

impl Crowd {
    /// A connection goes to a host over this link.
    fn joins(&mut self, pipe: Pipe, link: Option<Station>) {
        let Some(link) = link else { return };
        *self.connections.entry(link).or_default() += 1;
        self.pipes.push((pipe, link));
    }

    /// Limits what the senders of each link hold. The kernel sizes a sender's buffer by what may be under way, which is less where
    /// a link that others fill too drops packets (docs/model.md has measured sizes).
    fn share(&self, network: &mut Network<Cargo>, wire: &Wire) {
        let Some(shared) = wire.shared_buffer else { return };
        for (pipe, link) in &self.pipes {
            let each = shared.0 as f64 / f64::from(self.connections[link]).sqrt();
            network.resize(*pipe, wire.buffer.0.min(each as u64));
        }
    }
}

impl World {
    /// Builds the paths of `plan` over the route of that name.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if the testbed has no such route, or the model does not know what the plan needs.
    pub fn build(plan: &Plan, name: &str, testbed: &Testbed, route: &str) -> Result<Self, ModelError> {
        let known = testbed.routes.keys().cloned().collect::<Vec<_>>().join(", ");
        if plan.ejfat.is_some() {
            return Err(ModelError::Unknown {
                what: "EJFAT, which has no broker and loses what its buffers cannot hold".to_owned(),
                instead: "measure it, or predict a route over RabbitMQ".to_owned(),
            });
        }
        let route = testbed.routes.get(route).ok_or_else(|| ModelError::NoRoute {
            testbed: name.to_owned(),
            route: route.to_owned(),
            known,
        })?;
        let service = &plan.service;
        if let Some(queue) = service.queues.iter().find(|queue| queue.kind != QueueType::Classic) {
            return Err(ModelError::Unknown {
                what: format!("{} queues", queue.kind),
                instead: "use --queue-type classic".to_owned(),
            });
        }
        if plan.neighbours.is_some() {
            return Err(ModelError::Unknown {
                what: "other tenants of the service".to_owned(),
                instead: "leave [neighbours] out".to_owned(),
            });
        }
        let mut network = Network::new(testbed.wire.packet.0 as u32);
        let hosts = Hosts::build(testbed, plan.seed, &mut network);
        let nodes: Vec<u32> = testbed.service.nodes.iter().map(|host| hosts.of(host, 0, 1)).collect();
        let mut builder =
            Builder { testbed, plan, route, network, hosts, nodes, between: Vec::new(), crowd: Crowd::default() };
        builder.connect_nodes();
        builder.world()
    }
}

impl Builder<'_> {
    fn world(mut self) -> Result<World, ModelError> {
        let ranks = self.ranks()?;
        let (producers, consumers) = (self.plan.placement.producers, self.plan.placement.consumers);
        let mut producer_lines: Vec<Option<Line>> = (0..producers).map(|_| None).collect();
        let mut consumer_lines: Vec<Option<Line>> = (0..consumers).map(|_| None).collect();
        for (rank, (host, lane)) in ranks.iter().enumerate() {
            let role = self.plan.placement.role(rank);
            for index in role.producers {
                let parts = self.route.producer.clone();
                producer_lines[index as usize] = Some(self.line(*host, *lane, &parts, index, producers));
            }
            for index in role.consumers {
                let parts = self.route.consumer.clone();
                consumer_lines[index as usize] = Some(self.line(*host, *lane, &parts, index, consumers));
            }
        }
        let placed = "every worker is placed on a rank";
        let producer_lines: Vec<Line> = producer_lines.into_iter().map(|line| line.expect(placed)).collect();
        let consumer_lines: Vec<Line> = consumer_lines.into_iter().map(|line| line.expect(placed)).collect();
        let queue_lanes = self.queue_lanes(&consumer_lines);
        let enqueue = cost(self.testbed.costs.enqueue);
        let queues: Vec<QueuePlace> = queue_lanes
            .iter()
            .map(|(node, lane)| QueuePlace { node: *node, enqueue: self.network.path([Step::Work(*lane, enqueue)]) })
            .collect();
        let producers = (0..).zip(&producer_lines).map(|(index, line)| self.producer(index, line, &queues)).collect();
        let consumers =
            (0..).zip(&consumer_lines).map(|(index, line)| self.consumer(index, line, &queue_lanes)).collect();
        let transfer = cost(self.testbed.costs.transfer);
        let transfers = (0..self.nodes.len())
            .map(|from| {
                (0..self.nodes.len())
                    .map(|to| {
                        let steps = self.across(from as u32, to as u32, transfer);
                        (from != to).then(|| self.network.path(steps))
                    })
                    .collect()
            })
            .collect();
        self.crowd.share(&mut self.network, &self.testbed.wire);
        let node_names = self.testbed.service.nodes.clone();
        let links = self.hosts.links().to_vec();
        Ok(World { network: self.network, producers, consumers, queues, transfers, node_names, links })
    }

    /// The place and the thread of each rank.
    fn ranks(&mut self) -> Result<Vec<(u32, Lane)>, ModelError> {
        let placement = &self.plan.placement;
        let clients = &self.testbed.clients;
        let roles: Vec<_> = (0..placement.world).map(|rank| placement.role(rank)).collect();
        let apart = clients.producers != clients.consumers;
        if apart && roles.iter().any(|role| !role.producers.is_empty() && !role.consumers.is_empty()) {
            return Err(ModelError::Unknown {
                what: "ranks that are on two hosts, as producers and as consumers".to_owned(),
                instead: "use as many --ranks as there are workers".to_owned(),
            });
        }
        let produces = roles.iter().filter(|role| !role.producers.is_empty()).count();
        let consumes = roles.iter().filter(|role| !role.consumers.is_empty()).count();
        let (mut producing, mut consuming) = (0, 0);
        let mut ranks = Vec::new();
        for (rank, role) in roles.iter().enumerate() {
            let host = match (apart, role.producers.is_empty()) {
                (false, _) => self.hosts.of(&clients.producers, rank, roles.len()),
                (true, false) => self.hosts.of(&clients.producers, producing, produces),
                (true, true) => self.hosts.of(&clients.consumers, consuming, consumes),
            };
            producing += usize::from(!role.producers.is_empty());
            consuming += usize::from(!role.consumers.is_empty());
            let cores = self.hosts.place(host).cores;
            ranks.push((host, self.network.lane(cores, Some(format!("the thread of rank {rank}")))));
        }
        Ok(ranks)
    }

    /// The connection of worker `index` of `workers` of one side.
    fn line(&mut self, host: u32, client: Lane, parts: &[String], index: u32, workers: u32) -> Line {
        let all = self.nodes.len() as u32;
        let node = if parts.is_empty() {
            let addressed = self.plan.nodes.map_or(all, |nodes| nodes.get().min(all));
            self.plan.spread.of(index, workers, addressed, self.plan.seed)
        } else {
            match self.route.behind_parts {
                Behind::First => 0,
                // Each port leads to a node of its own, and clients share ports as their profile says.
                Behind::RoundRobin => match self.route.ports {
                    Some(ports) => self.plan.spread.of(index, workers, ports, self.plan.seed) % all,
                    None => index % all,
                },
            }
        };
        let mut ends = vec![(host, None)];
        let of = |addresses| self.plan.spread.of(index, workers, addresses, self.plan.seed);
        let mut address = self.route.addresses.map(of);
        for part in parts {
            let (host, lane) = self.hosts.part(part, address.take());
            ends.push((host, Some((lane, cost(self.testbed.parts[part].work)))));
        }
        ends.push((self.nodes[node as usize], None));
        Line { ends, client, node }
    }

    /// The node and the thread of each queue.
    fn queue_lanes(&mut self, consumers: &[Line]) -> Vec<(u32, Lane)> {
        let all = self.nodes.len() as u32;
        let addressed = self.plan.nodes.map_or(all, |nodes| nodes.get().min(all));
        let queues = &self.plan.service.queues;
        let mut lanes = Vec::new();
        for (index, queue) in (0..).zip(queues) {
            let balanced = index % all;
            let node = match (queue.exclusive, queue.leader, self.testbed.service.leader) {
                (true, ..) => consumers[index as usize].node,
                (_, LeaderLocator::ClientLocal, _) | (_, LeaderLocator::Server, Leader::ClientLocal) => 0,
                (_, LeaderLocator::Balanced, _) | (_, LeaderLocator::Server, Leader::Balanced) => balanced,
                (_, LeaderLocator::Spread, _) => index % addressed,
            };
            let name = format!("queue {} on {}", index + 1, self.testbed.service.nodes[node as usize]);
            lanes.push((node, self.node_lane(node, Some(name))));
        }
        lanes
    }

    fn producer(&mut self, index: u32, line: &Line, queues: &[QueuePlace]) -> ProducerPaths {
        let costs = &self.testbed.costs;
        let tls = self.tls();
        let credit = self.network.pipe(u64::from(self.testbed.service.credit));
        let client = |work| (line.client, cost(work).and(tls));
        let (reader, writer) = (self.node_lane(line.node, None), self.node_lane(line.node, None));
        let publish = {
            let node = (reader, cost(costs.receive).and(tls));
            let mut steps = vec![Step::Work(line.client, client(costs.publish).1)];
            steps.extend(self.way(line, Load::published(), Some(Step::Enter(credit, Unit::Messages)), node));
            self.network.path(steps)
        };
        let home = self.home(index, queues).unwrap_or(line.node);
        let control = cost(costs.node_control);
        let mut steps = self.across(home, line.node, control);
        // The mark: what was confirmed meanwhile goes with the next.
        steps.extend([Step::Work(writer, control.and(tls)), Step::Mark]);
        steps.extend(self.way(line, Load::control(false), None, client(costs.client_control)));
        let confirm = self.network.path(steps);
        let replies = (self.plan.flow.replies > 0).then(|| {
            let name = format!("the queue of replies to producer {index}");
            let (queue, writer) = (self.node_lane(line.node, Some(name)), self.node_lane(line.node, None));
            let enqueue = self.network.path([Step::Work(queue, cost(costs.enqueue))]);
            let mut steps =
                vec![Step::Work(queue, cost(costs.dequeue)), Step::Work(writer, cost(costs.deliver).and(tls))];
            steps.extend(self.way(
                line,
                Load { up: false, mark: false, ..self.replies() },
                None,
                client(costs.consume),
            ));
            (enqueue, self.network.path(steps))
        });
        ProducerPaths { publish, confirm, node: line.node, credit, replies }
    }

    /// The node that confirms come from: that of the producer's only queue.
    fn home(&self, index: u32, queues: &[QueuePlace]) -> Option<u32> {
        let keys = self.plan.target_of(index).keys;
        let [key] = &keys[..] else { return None };
        let queue = self.plan.service.queues.iter().position(|queue| queue.name == *key)?;
        Some(queues[queue].node)
    }

    fn consumer(&mut self, index: u32, line: &Line, queues: &[(u32, Lane)]) -> ConsumerPaths {
        let costs = &self.testbed.costs;
        let tls = self.tls();
        let count = queues.len() as u32;
        let queue = self.plan.service.queue_mapping.of(index, self.plan.placement.consumers, count);
        let (home, queue_lane) = queues[queue as usize];
        let (reader, writer) = (self.node_lane(line.node, None), self.node_lane(line.node, None));
        let mut steps = vec![Step::Work(queue_lane, cost(costs.dequeue))];
        steps.extend(self.across(home, line.node, cost(costs.transfer)));
        steps.push(Step::Work(writer, cost(costs.deliver).and(tls)));
        steps.extend(self.way(line, Load::delivered(), None, (line.client, cost(costs.consume).and(tls))));
        let deliver = self.network.path(steps);
        let control = cost(costs.node_control);
        let mut steps = vec![Step::Work(line.client, cost(costs.client_control).and(tls))];
        steps.extend(self.way(line, Load::control(true), None, (reader, control.and(tls))));
        steps.extend(self.across(line.node, home, control));
        steps.push(Step::Work(queue_lane, control));
        let ack = self.network.path(steps);
        let reply = (self.plan.flow.replies > 0).then(|| {
            let reader = self.node_lane(line.node, None);
            let mut steps = vec![Step::Work(line.client, cost(costs.publish).and(tls))];
            steps.extend(self.way(line, self.replies(), None, (reader, cost(costs.receive).and(tls))));
            (self.network.path(steps), line.node)
        });
        ConsumerPaths { deliver, ack, queue, reply }
    }

    /// One direction of a connection, from after the sender's work until the receiver has done its own.
    fn way(&mut self, line: &Line, load: Load, tail: Option<Step>, receiver: (Lane, Cost)) -> Vec<Step> {
        let mut ends: Vec<_> = line.ends.clone();
        if !load.up {
            ends.reverse();
        }
        let wire = &self.testbed.wire;
        let mut pipe = self.network.pipe(wire.buffer.0);
        let mut steps = vec![Step::Enter(pipe, Unit::Bytes)];
        steps.extend(load.mark.then_some(Step::Mark));
        for pair in ends.windows(2) {
            let ((from, _), (to, part)) = (pair[0], pair[1]);
            let (way, delay_ns) = self.hosts.cross(&mut self.network, from, to);
            if load.messages {
                self.crowd.joins(pipe, self.hosts.link_to(to));
            }
            steps.extend(way);
            let mut leave = Step::Leave(pipe, Unit::Bytes, delay_ns);
            if let Some(room) = wire.receive_buffer {
                let received = self.network.pipe(room.0);
                steps.extend([Step::Enter(received, Unit::Bytes), leave]);
                leave = Step::Leave(received, Unit::Bytes, 0);
            }
            match part {
                Some((lane, work)) => {
                    pipe = self.network.pipe(wire.buffer.0);
                    steps.extend([Step::Work(lane, work), Step::Enter(pipe, Unit::Bytes), leave]);
                }
                None => {
                    steps.push(Step::Work(receiver.0, receiver.1));
                    steps.extend(tail);
                    steps.push(leave);
                }
            }
        }
        steps
    }

    /// From one node to another; nothing if they are the same.
    fn across(&self, from: u32, to: u32, work: Cost) -> Vec<Step> {
        let Some(between) = &self.between[from as usize][to as usize] else { return Vec::new() };
        let Between { pipe, delay_ns, .. } = *between;
        let mut steps = vec![Step::Work(between.from, work), Step::Enter(pipe, Unit::Bytes)];
        steps.extend(&between.way);
        steps.extend([Step::Work(between.to, work), Step::Leave(pipe, Unit::Bytes, delay_ns)]);
        steps
    }

    fn connect_nodes(&mut self) {
        let count = self.nodes.len();
        let room = self.testbed.wire.buffer.0;
        for from in 0..count {
            let mut row = Vec::new();
            for to in 0..count {
                row.push((from != to).then(|| {
                    let (way, delay_ns) = self.hosts.cross(&mut self.network, self.nodes[from], self.nodes[to]);
                    let lane = |builder: &mut Self, node: usize| builder.node_lane(node as u32, None);
                    let pipe = self.network.pipe(room);
                    self.crowd.joins(pipe, self.hosts.link_to(self.nodes[to]));
                    Between { from: lane(self, from), way, delay_ns, to: lane(self, to), pipe }
                }));
            }
            self.between.push(row);
        }
    }

    fn node_lane(&mut self, node: u32, name: Option<String>) -> Lane {
        let cores = self.hosts.place(self.nodes[node as usize]).cores;
        self.network.lane(cores, name)
    }

    /// The load of replies on their way to the service. Small ones are as nothing beside messages.
    fn replies(&self) -> Load {
        let body_bytes = self.plan.message.mean_body_bytes().round() as u64;
        let messages = self.plan.service.reply_bytes(body_bytes) * 10 > body_bytes;
        Load { messages, ..Load::published() }
    }

    fn tls(&self) -> Cost {
        if self.route.tls { cost(self.testbed.costs.tls) } else { Cost::default() }
    }
}
