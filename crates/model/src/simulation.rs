//! The simulation: moves messages through the network, and lets each end do what its rules say.

use crate::{
    cargo::{Cargo, Slot},
    error::ModelError,
    network::{Happening, Path},
    outcome::{Finished, Outcome},
    rules::{
        consumer::Consumer,
        producer::{Next, Producer},
        queue::{Queue, Taken},
    },
    tally::{Message, Tally},
    testbed::Testbed,
    world::World,
};
use profile::Plan;
use std::{collections::BTreeSet, ops::Range};

/// Predicts what `plan` measures over the route of that name of a testbed.
///
/// # Errors
///
/// [`ModelError`] if the testbed lacks what the plan needs, or the model does not know it.
pub fn simulate(plan: &Plan, name: &str, testbed: &Testbed, route: &str) -> Result<Outcome, ModelError> {
    let world = World::build(plan, name, testbed, route)?;
    let mut simulation = Simulation::new(plan, testbed, world);
    simulation.run();
    Ok(Outcome::of(simulation.finish()))
}

struct Simulation<'a> {
    plan: &'a Plan,
    world: World,
    producers: Vec<Producer>,
    consumers: Vec<Consumer>,
    queues: Vec<Queue>,
    /// The queues of each producer, used in turn; empty: each message goes to all queues.
    targets: Vec<Vec<u32>>,
    messages: Vec<Message>,
    /// Places of messages that are done.
    free: Vec<Slot>,
    /// The messages of each batch of confirms, and the numbers of batches that are done.
    batches: Vec<Vec<Slot>>,
    free_batches: Vec<u32>,
    tally: Tally,
    dropped: u64,
    cut_short: bool,
    body_bytes: u64,
    reply_bytes: u64,
    control_bytes: u64,
}

impl<'a> Simulation<'a> {
    fn new(plan: &'a Plan, testbed: &Testbed, world: World) -> Self {
        let body_bytes = plan.message.mean_body_bytes().round() as u64;
        let beside = testbed.wire.message_bytes.0;
        let position = |key: &String| plan.service.queues.iter().position(|queue| queue.name == *key);
        let targets = |producer| -> Vec<u32> {
            plan.target_of(producer).keys.iter().filter_map(position).map(|queue| queue as u32).collect()
        };
        Self {
            producers: (0..plan.placement.producers).map(|index| Producer::new(plan, index)).collect(),
            consumers: (0..plan.placement.consumers).map(|index| Consumer::new(plan, index)).collect(),
            queues: plan.service.queues.iter().map(|queue| Queue::new(queue, body_bytes)).collect(),
            targets: (0..plan.placement.producers).map(targets).collect(),
            messages: Vec::new(),
            free: Vec::new(),
            batches: Vec::new(),
            free_batches: Vec::new(),
            tally: Tally::new(plan),
            dropped: 0,
            cut_short: false,
            body_bytes: body_bytes + beside,
            reply_bytes: plan.service.reply_bytes(body_bytes) + beside,
            control_bytes: testbed.wire.control_bytes.0,
            plan,
            world,
        }
    }

    fn run(&mut self) {
        let limit_ns = u64::try_from(self.plan.limits.stream.as_nanos()).unwrap_or(u64::MAX);
        self.look();
        (0..self.consumers.len() as u32).for_each(|consumer| self.offer(consumer));
        (0..self.producers.len() as u32).for_each(|producer| self.turn(producer));
        while let Some(happening) = self.world.network.next() {
            if self.now_ns() > limit_ns {
                self.cut_short = true;
                return;
            }
            match happening {
                Happening::Arrived(cargo) => self.arrived(cargo),
                Happening::Marked(cargo) => self.marked(cargo),
                Happening::Rang(cargo) => self.rang(cargo),
            }
        }
    }

    fn finish(mut self) -> Finished<'a> {
        let end_ns = self.tally.stop_ns.min(self.now_ns());
        for producer in &mut self.producers {
            producer.close(end_ns).into_iter().for_each(|due_ns| self.tally.unsent(due_ns));
            self.tally.kept.late_ns += producer.late_ns;
            self.tally.kept.backpressure_ns += producer.held_ns;
        }
        let Self { plan, world, producers, consumers, queues, tally, dropped, cut_short, .. } = self;
        Finished { plan, world, producers, consumers, queues, tally, dropped, cut_short }
    }

    fn now_ns(&self) -> u64 {
        self.world.network.now_ns()
    }

    fn look(&mut self) {
        let now_ns = self.now_ns();
        if let Some(at_ns) = self.tally.look(now_ns) {
            self.world.network.ring(at_ns - now_ns, Cargo::Window);
        }
    }

    fn rang(&mut self, cargo: Cargo) {
        match cargo {
            Cargo::Turn(producer) => {
                let now_ns = self.now_ns();
                self.producers[producer as usize].woken(now_ns);
                self.turn(producer);
            }
            Cargo::Worked(consumer) => {
                self.worked(consumer);
                self.take(consumer);
            }
            Cargo::Flush(consumer, batch) => {
                let acks = self.consumers[consumer as usize].overdue(batch);
                self.acknowledge(consumer, acks);
            }
            Cargo::Window => self.look(),
            _ => unreachable!("only these are rung"),
        }
    }

    fn marked(&mut self, cargo: Cargo) {
        match cargo {
            Cargo::Publish(slot) => {
                let now_ns = self.now_ns();
                let message = &mut self.messages[slot as usize];
                message.written_ns.get_or_insert(now_ns);
                let producer = message.producer;
                self.producers[producer as usize].written();
                self.turn(producer);
            }
            Cargo::Reply(_, consumer) => {
                if self.consumers[consumer as usize].reply_written() {
                    self.finish_delivery(consumer);
                    self.take(consumer);
                }
            }
            Cargo::Confirm(producer, _) => {
                self.producers[producer as usize].confirming = false;
                self.confirm(producer);
            }
            _ => unreachable!("no other path has a mark"),
        }
    }

    fn arrived(&mut self, cargo: Cargo) {
        match cargo {
            Cargo::Publish(slot) => self.at_node(slot),
            Cargo::Transfer(slot, node) => self.at_leader(slot, node),
            Cargo::Enqueue(slot, queue) => self.at_queue(slot, queue),
            Cargo::Deliver(slot, consumer) => {
                self.consumers[consumer as usize].receive(slot);
                self.take(consumer);
            }
            Cargo::Confirm(producer, batch) => self.confirmed(producer, batch),
            Cargo::Ack(consumer, count) => {
                self.consumers[consumer as usize].acknowledged(count);
                self.offer(consumer);
            }
            Cargo::Reply(slot, consumer) => self.reply_at_node(slot, consumer),
            Cargo::ReplyTransfer(slot) => self.reply_at_leader(slot),
            Cargo::ReplyEnqueue(slot) => {
                let (_, deliver) = self.reply_paths(slot);
                self.world.network.send(deliver, self.reply_bytes, Cargo::ReplyDeliver(slot));
            }
            Cargo::ReplyDeliver(slot) => self.replied(slot),
            _ => unreachable!("these are rung"),
        }
    }

    /// Lets a producer publish until something holds it back.
    fn turn(&mut self, producer: u32) {
        let now_ns = self.now_ns();
        loop {
            let slot = match self.producers[producer as usize].next(now_ns, self.tally.stop_ns) {
                Next::New(due_ns) => self.new_message(producer, due_ns),
                Next::Again(slot) => {
                    self.messages[slot as usize].republished += 1;
                    slot
                }
                Next::At(at_ns) => {
                    if let Some(after_ns) = self.producers[producer as usize].wake(now_ns, at_ns) {
                        self.world.network.ring(after_ns, Cargo::Turn(producer));
                    }
                    return;
                }
                Next::Nothing => return,
            };
            let first = self.messages[slot as usize].republished == 0;
            self.producers[producer as usize].published(now_ns, first);
            let path = self.world.producers[producer as usize].publish;
            self.world.network.send(path, self.body_bytes, Cargo::Publish(slot));
        }
    }

    fn new_message(&mut self, producer: u32, due_ns: u64) -> Slot {
        let targets = &self.targets[producer as usize];
        let number = self.producers[producer as usize].sent as usize;
        let message = Message {
            producer,
            queue: (!targets.is_empty()).then(|| targets[number % targets.len()]),
            due_ns,
            sent_ns: self.now_ns(),
            replies_left: self.plan.flow.replies,
            open: 1,
            ..Message::default()
        };
        self.tally.sent(&message);
        match self.free.pop() {
            Some(slot) => {
                self.messages[slot as usize] = message;
                slot
            }
            None => {
                self.messages.push(message);
                self.messages.len() as Slot - 1
            }
        }
    }

    /// Something that had to happen to a message has happened.
    fn close(&mut self, slot: Slot, count: u32) {
        let message = &mut self.messages[slot as usize];
        message.open -= count;
        if message.open == 0 {
            self.free.push(slot);
        }
    }

    fn at_node(&mut self, slot: Slot) {
        let queues = self.queues_of(slot);
        let message = &mut self.messages[slot as usize];
        (message.queues_left, message.is_rejected) = (queues.len() as u32, false);
        let from = self.world.producers[message.producer as usize].node;
        // One transfer to each node that has queues of it, however many.
        let nodes: BTreeSet<u32> = queues.map(|queue| self.world.queues[queue as usize].node).collect();
        for to in nodes {
            match self.world.transfers[from as usize][to as usize] {
                Some(path) => self.world.network.send(path, self.body_bytes, Cargo::Transfer(slot, to)),
                None => self.at_leader(slot, to),
            }
        }
    }

    fn at_leader(&mut self, slot: Slot, node: u32) {
        for queue in self.queues_of(slot) {
            let place = &self.world.queues[queue as usize];
            if place.node == node {
                self.world.network.send(place.enqueue, 0, Cargo::Enqueue(slot, queue));
            }
        }
    }

    /// The queues that a message goes to.
    fn queues_of(&self, slot: Slot) -> Range<u32> {
        match self.messages[slot as usize].queue {
            Some(queue) => queue..queue + 1,
            None => 0..self.queues.len() as u32,
        }
    }

    fn at_queue(&mut self, slot: Slot, queue: u32) {
        let taken = self.queues[queue as usize].take(slot);
        if taken == Taken::Rejected {
            self.messages[slot as usize].is_rejected = true;
        } else {
            self.messages[slot as usize].open += self.copy_closes();
        }
        if let Taken::Instead(oldest) = taken {
            self.dropped += 1;
            self.close(oldest, self.copy_closes());
        }
        let message = &mut self.messages[slot as usize];
        message.queues_left -= 1;
        if message.queues_left == 0 {
            let producer = message.producer;
            let credit = self.world.producers[producer as usize].credit;
            self.world.network.free(credit, 1);
            if self.plan.service.confirms.wanted() {
                self.producers[producer as usize].pending.push(slot);
                self.confirm(producer);
            } else {
                self.close(slot, 1);
            }
        }
        self.deliver(queue);
    }

    /// What has to happen to each copy of a message: its delivery and, if there is one, the reply.
    fn copy_closes(&self) -> u32 {
        1 + u32::from(self.plan.flow.replies > 0)
    }

    /// Sends the confirms of a producer that wait at its node, unless others are on their way to the writer.
    fn confirm(&mut self, producer: u32) {
        let state = &mut self.producers[producer as usize];
        if state.confirming || state.pending.is_empty() {
            return;
        }
        state.confirming = true;
        let slots = std::mem::take(&mut state.pending);
        let batch = match self.free_batches.pop() {
            Some(batch) => {
                self.batches[batch as usize] = slots;
                batch
            }
            None => {
                self.batches.push(slots);
                self.batches.len() as u32 - 1
            }
        };
        let path = self.world.producers[producer as usize].confirm;
        self.world.network.send(path, self.control_bytes, Cargo::Confirm(producer, batch));
    }

    fn confirmed(&mut self, producer: u32, batch: u32) {
        let now_ns = self.now_ns();
        for slot in std::mem::take(&mut self.batches[batch as usize]) {
            let message = self.messages[slot as usize];
            let state = &mut self.producers[producer as usize];
            if !message.is_rejected {
                state.accepted();
                self.tally.confirmed(&message, now_ns);
                self.close(slot, 1);
            } else if !state.refused(now_ns, slot, message.republished) {
                self.close(slot, 1);
            }
        }
        self.free_batches.push(batch);
        self.turn(producer);
    }

    /// A consumer may have room again.
    fn offer(&mut self, consumer: u32) {
        let state = &mut self.consumers[consumer as usize];
        if state.has_room() && !state.listed {
            state.listed = true;
            let queue = self.world.consumers[consumer as usize].queue;
            self.queues[queue as usize].is_willing(consumer);
            self.deliver(queue);
        }
    }

    fn deliver(&mut self, queue: u32) {
        while let Some((slot, consumer)) = self.queues[queue as usize].next() {
            let state = &mut self.consumers[consumer as usize];
            state.sent();
            state.listed = state.has_room();
            if state.listed {
                self.queues[queue as usize].is_willing(consumer);
            }
            let path = self.world.consumers[consumer as usize].deliver;
            self.world.network.send(path, self.body_bytes, Cargo::Deliver(slot, consumer));
        }
    }

    /// Has a consumer take its deliveries until it works on one or something holds it back.
    fn take(&mut self, consumer: u32) {
        while let Some((slot, work_ns)) = self.consumers[consumer as usize].take() {
            self.count(slot, consumer);
            if work_ns > 0 {
                return self.world.network.ring(work_ns, Cargo::Worked(consumer));
            }
            self.worked(consumer);
        }
    }

    /// Counts a delivery when the consumer takes it, as the harness does.
    fn count(&mut self, slot: Slot, consumer: u32) {
        let now_ns = self.now_ns();
        let inside = self.tally.delivered(&self.messages[slot as usize], now_ns);
        self.look();
        if inside {
            let span = &mut self.consumers[consumer as usize].span;
            if span.messages == 0 {
                span.first_ns = now_ns;
            }
            span.messages += 1;
            span.last_ns = now_ns;
        }
    }

    /// Acknowledges first, then replies.
    fn worked(&mut self, consumer: u32) {
        let state = &mut self.consumers[consumer as usize];
        state.worked();
        let acks = state.acknowledge();
        if let Some(batch) = state.begins_to_wait() {
            let after_ns = self.plan.service.ack_after.as_nanos() as u64;
            self.world.network.ring(after_ns, Cargo::Flush(consumer, batch));
        }
        self.acknowledge(consumer, acks);
        self.finish_delivery(consumer);
    }

    /// Replies to the delivery that a consumer has taken, unless earlier replies still have to be written.
    fn finish_delivery(&mut self, consumer: u32) {
        let reply = self.world.consumers[consumer as usize].reply;
        let Some(slot) = self.consumers[consumer as usize].done_with(reply.is_some()) else { return };
        if let Some((path, _)) = reply {
            self.world.network.send(path, self.reply_bytes, Cargo::Reply(slot, consumer));
        }
        self.close(slot, 1);
    }

    fn acknowledge(&mut self, consumer: u32, acks: Option<u32>) {
        if let Some(count) = acks {
            let path = self.world.consumers[consumer as usize].ack;
            self.world.network.send(path, self.control_bytes, Cargo::Ack(consumer, count));
        }
    }

    fn reply_at_node(&mut self, slot: Slot, consumer: u32) {
        let (_, from) = self.world.consumers[consumer as usize].reply.expect("it has replied");
        let producer = self.messages[slot as usize].producer;
        let to = self.world.producers[producer as usize].node;
        match self.world.transfers[from as usize][to as usize] {
            Some(path) => self.world.network.send(path, self.reply_bytes, Cargo::ReplyTransfer(slot)),
            None => self.reply_at_leader(slot),
        }
    }

    fn reply_at_leader(&mut self, slot: Slot) {
        let (enqueue, _) = self.reply_paths(slot);
        self.world.network.send(enqueue, 0, Cargo::ReplyEnqueue(slot));
    }

    fn reply_paths(&self, slot: Slot) -> (Path, Path) {
        let producer = self.messages[slot as usize].producer;
        self.world.producers[producer as usize].replies.expect("the pattern has replies")
    }

    fn replied(&mut self, slot: Slot) {
        let now_ns = self.now_ns();
        let message = &mut self.messages[slot as usize];
        // A copy of a message that was published again brings one more.
        message.replies_left = message.replies_left.saturating_sub(1);
        let message = *message;
        self.tally.replied(&message, now_ns, self.plan.flow.gathers);
        self.close(slot, 1);
    }
}
