//! The topics that a broker has open.

use std::{collections::HashMap, sync::Arc, time::Duration};

use windlass_actors::fanout::TopicStats;

use super::{PublishError, TopicName, topic::OpenTopic};

/// Open and closing topics, and the counts of closed ones.
#[derive(Default)]
pub(super) struct Registry {
    open: HashMap<TopicName, Arc<OpenTopic>>,
    closing: Vec<Arc<OpenTopic>>,
    /// Sum of the counts of all closed topics.
    closed_stats: TopicStats,
}

impl Registry {
    /// Returns the topic with this name if it is open.
    pub(super) fn get(&self, name: &TopicName) -> Option<Arc<OpenTopic>> {
        self.open.get(name).cloned()
    }

    /// Returns all open topics.
    pub(super) fn open(&self) -> impl ExactSizeIterator<Item = (&TopicName, &Arc<OpenTopic>)> {
        self.open.iter()
    }

    /// Adds a topic to the open ones.
    pub(super) fn insert(&mut self, topic: &Arc<OpenTopic>) {
        self.open.insert(topic.name.clone(), topic.clone());
    }

    /// Makes room for one more topic: closes an idle one if `limit` topics are open.
    ///
    /// # Errors
    ///
    /// [`PublishError::TooManyTopics`] if no topic is idle.
    pub(super) fn make_room(&mut self, limit: usize) -> Result<(), PublishError> {
        if self.open.len() < limit {
            return Ok(());
        }
        // Streams and events in flight hold a reference. Closing such a topic would separate them from later
        // events.
        let is_idle =
            |topic: &Arc<OpenTopic>| Arc::strong_count(topic) == 1 && topic.fanout.subscribers() == 0;
        let idle = self.open.iter().find(|(_, topic)| is_idle(topic)).map(|(name, _)| name.clone());
        let idle = self.open.remove(&idle.ok_or(PublishError::TooManyTopics)?);
        idle.iter().for_each(|topic| self.add_closed(topic));
        Ok(())
    }

    /// Moves a topic, if it is open, to the closing ones. Returns all closing topics of this name.
    pub(super) fn start_closing(&mut self, name: &TopicName) -> Vec<Arc<OpenTopic>> {
        let topic = self.open.remove(name);
        self.closing.extend(topic);
        self.closing.iter().filter(|topic| topic.name == *name).cloned().collect()
    }

    /// Moves all open topics to the closing ones, and returns all closing topics.
    pub(super) fn start_closing_all(&mut self) -> Vec<Arc<OpenTopic>> {
        self.closing.extend(self.open.drain().map(|(_, topic)| topic));
        self.closing.clone()
    }

    /// Removes a closing topic and keeps its counts. Does nothing if another caller was first.
    pub(super) fn finish_closing(&mut self, topic: &Arc<OpenTopic>) {
        if self.closing.iter().any(|closing| Arc::ptr_eq(closing, topic)) {
            self.closing.retain(|closing| !Arc::ptr_eq(closing, topic));
            self.add_closed(topic);
        }
    }

    /// Returns the sum of the counts of all topics, closed ones included.
    pub(super) fn total(&self) -> TopicStats {
        let mut total = self.closed_stats;
        self.open.values().chain(&self.closing).for_each(|topic| total += topic.fanout.stats());
        total
    }

    fn add_closed(&mut self, topic: &OpenTopic) {
        let mut stats = topic.fanout.stats();
        (stats.subscribers, stats.lagging, stats.lag_events, stats.lag_age) = (0, 0, 0, Duration::ZERO);
        self.closed_stats += stats;
    }
}
