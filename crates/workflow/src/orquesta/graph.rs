//! The graph of a definition: who may follow whom, where branches meet, what lies on a cycle.
//!
//! It knows names and numbers only. Edges leave a task sorted by the name of their target, then by their place in
//! `next`: the order in which the reference takes transitions, and on which the winner among publishes depends.

use super::spec::Task;
use squall_model::{Str, Value};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

/// Names that are commands to the engine.
pub const COMMANDS: [&str; 3] = ["continue", "fail", "noop"];

/// Names that no task may have: the commands, and the one that stands for another try.
pub const RESERVED: [&str; 4] = ["continue", "fail", "noop", "retry"];

/// A walk over the ways that visits more nodes than this many times their number looks only for new ones.
const VISITS_PER_NODE: usize = 64;

/// Whether a name may not be given to a task.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// One way from a task to the next.
#[derive(Debug, Clone)]
pub struct Edge {
    /// The node that it leads to.
    pub target: usize,
    /// The index in `next`.
    pub transition: usize,
    /// Counts the edges between the two nodes, in the order of `next`.
    pub number: usize,
}

/// A node: a task, or a command that some transition names.
#[derive(Debug, Clone, Default)]
pub struct Vertex {
    /// Its name.
    pub name: Str,
    /// The index of the task in the spec; `None` for a command.
    pub task: Option<usize>,
    /// What leaves it, in the order of taking.
    pub edges: Vec<Edge>,
    /// Distinct nodes with an edge to it.
    pub sources: Vec<usize>,
    /// How many times it is named by transitions, twice in one `do` counting twice.
    pub named: usize,
    /// Whether it waits for branches.
    pub is_join: bool,
    /// Whether it can follow itself.
    pub in_cycle: bool,
    /// Whether a start task leads to it.
    pub reached: bool,
}

impl Vertex {
    /// Runs once for each arrival.
    pub fn is_split(&self) -> bool {
        !self.is_join && self.named > 1
    }
}

/// The graph.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// Tasks in the order of the file, then commands.
    pub nodes: Vec<Vertex>,
    /// Where a name is.
    pub by_name: HashMap<Str, usize>,
    /// Tasks that no transition names, sorted by name.
    pub starts: Vec<usize>,
}

impl Graph {
    /// The graph of `tasks`. Names that are no task are left out.
    pub fn of(tasks: &[Task]) -> Graph {
        let mut graph = Graph::default();
        for (i, task) in tasks.iter().enumerate() {
            graph.by_name.insert(task.name.clone(), graph.nodes.len());
            graph.nodes.push(Vertex {
                name: task.name.clone(),
                task: Some(i),
                is_join: !matches!(task.join, Value::Null),
                ..Vertex::default()
            });
        }
        for (source, task) in tasks.iter().enumerate() {
            graph.leave(source, task);
        }
        graph.starts = (0..tasks.len()).filter(|i| graph.nodes[*i].named == 0).collect();
        graph.starts.sort_by(|a, b| graph.nodes[*a].name.cmp(&graph.nodes[*b].name));
        graph.mark_reached();
        graph.mark_cycles();
        graph.drop_unreached_sources();
        graph
    }

    fn leave(&mut self, source: usize, task: &Task) {
        let mut edges: Vec<Edge> = Vec::new();
        let mut counts: HashMap<usize, usize> = HashMap::new();
        for (transition, entry) in task.next.iter().enumerate() {
            let mut taken = HashSet::new();
            for name in &entry.targets {
                let Some(target) = self.node_for(name) else {
                    continue;
                };
                self.nodes[target].named += 1;
                if !taken.insert(target) {
                    continue;
                }
                let number = counts.entry(target).or_default();
                edges.push(Edge { target, transition, number: *number });
                *number += 1;
            }
        }
        for edge in &edges {
            let sources = &mut self.nodes[edge.target].sources;
            // Sources come in turn, so a second edge from the same one follows the first.
            if sources.last() != Some(&source) {
                sources.push(source);
            }
        }
        edges.sort_by(|a, b| {
            let name = |e: &Edge| &self.nodes[e.target].name;
            name(a).cmp(name(b)).then(a.number.cmp(&b.number))
        });
        self.nodes[source].edges = edges;
    }

    fn node_for(&mut self, name: &Str) -> Option<usize> {
        if let Some(node) = self.by_name.get(name) {
            return Some(*node);
        }
        if !COMMANDS.contains(&&**name) {
            return None;
        }
        self.by_name.insert(name.clone(), self.nodes.len());
        self.nodes.push(Vertex { name: name.clone(), ..Vertex::default() });
        Some(self.nodes.len() - 1)
    }

    /// Tasks that a start leads to, breadth first.
    pub fn breadth_first(&self) -> Vec<usize> {
        let mut seen = vec![false; self.nodes.len()];
        let mut order: Vec<usize> = Vec::new();
        for start in &self.starts {
            seen[*start] = true;
            order.push(*start);
        }
        let mut next = 0;
        while let Some(node) = order.get(next).copied() {
            next += 1;
            for edge in &self.nodes[node].edges {
                if !std::mem::replace(&mut seen[edge.target], true) {
                    order.push(edge.target);
                }
            }
        }
        order
    }

    fn mark_reached(&mut self) {
        for node in self.breadth_first() {
            self.nodes[node].reached = true;
        }
    }

    /// A ring that nothing leads into never runs, so nothing waits for it either.
    fn drop_unreached_sources(&mut self) {
        let reached: Vec<bool> = self.nodes.iter().map(|n| n.reached).collect();
        for node in self.nodes.iter_mut().filter(|n| n.reached) {
            node.sources.retain(|source| reached[*source]);
        }
    }

    /// Tarjan's components, with a stack of our own: a chain of 10,000 tasks must not end ours.
    fn mark_cycles(&mut self) {
        const NEW: usize = usize::MAX;
        let count = self.nodes.len();
        let (mut index, mut low) = (vec![NEW; count], vec![0; count]);
        let (mut open, mut on_stack) = (Vec::new(), vec![false; count]);
        let mut clock = 0;
        for root in 0..count {
            if index[root] != NEW {
                continue;
            }
            let mut calls = vec![(root, 0)];
            while let Some((node, at)) = calls.pop() {
                if at == 0 {
                    index[node] = clock;
                    low[node] = clock;
                    clock += 1;
                    open.push(node);
                    on_stack[node] = true;
                }
                if let Some(edge) = self.nodes[node].edges.get(at) {
                    let target = edge.target;
                    calls.push((node, at + 1));
                    if index[target] == NEW {
                        calls.push((target, 0));
                    } else if on_stack[target] {
                        low[node] = low[node].min(index[target]);
                    }
                    continue;
                }
                if let Some((parent, _)) = calls.last() {
                    low[*parent] = low[*parent].min(low[node]);
                }
                if low[node] == index[node] {
                    self.close_component(node, &mut open, &mut on_stack);
                }
            }
        }
    }

    fn close_component(&mut self, root: usize, open: &mut Vec<usize>, on_stack: &mut [bool]) {
        let start = open.iter().rposition(|n| *n == root).unwrap_or(0);
        let members = open.split_off(start);
        for member in &members {
            on_stack[*member] = false;
            let loops = self.nodes[*member].edges.iter().any(|e| e.target == *member);
            self.nodes[*member].in_cycle = members.len() > 1 || loops;
        }
    }

    /// Joins that some of their sources reach through other split tasks than the join itself is reached: at which of the
    /// nested forks would they meet?
    ///
    /// The ways are walked as the reference walks them: back into a cycle only as long as nobody was there.
    pub fn ambiguous_joins(&self) -> Vec<usize> {
        let count = self.nodes.len();
        let (mut splits, mut sources) = (vec![None::<Numbers>; count], vec![BTreeSet::new(); count]);
        let mut passed: HashMap<(usize, usize), Numbers> = HashMap::new();
        let mut queue: VecDeque<(Option<usize>, usize, Numbers)> =
            self.starts.iter().map(|start| (None, *start, Numbers::default())).collect();
        let mut visits = 0;
        while let Some((source, node, mut way)) = queue.pop_front() {
            let vertex = &self.nodes[node];
            visits += 1;
            if vertex.task.is_none() || (visits > VISITS_PER_NODE * count.max(64) && splits[node].is_some()) {
                continue;
            }
            if vertex.is_split() && !vertex.in_cycle {
                way.insert(node);
            }
            splits[node].get_or_insert_default().join(&way);
            sources[node].extend(source);
            for edge in &vertex.edges {
                if splits[edge.target].is_some() && self.nodes[edge.target].in_cycle {
                    continue;
                }
                match passed.get_mut(&(node, edge.target)) {
                    Some(known) if known.covers(&way) => continue,
                    Some(known) => known.join(&way),
                    None => _ = passed.insert((node, edge.target), way.clone()),
                }
                queue.push_back((Some(node), edge.target, way.clone()));
            }
        }
        let is_ambiguous = |node: &usize| {
            self.nodes[*node].is_join && sources[*node].iter().any(|source| splits[*source] != splits[*node])
        };
        (0..count).filter(is_ambiguous).collect()
    }
}

/// A set of small numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Numbers(Vec<u64>);

impl Numbers {
    /// Adds one.
    pub fn insert(&mut self, number: usize) {
        if self.0.len() <= number / 64 {
            self.0.resize(number / 64 + 1, 0);
        }
        self.0[number / 64] |= 1 << (number % 64);
    }

    /// Whether it is in.
    pub fn contains(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Adds those of another set.
    pub fn join(&mut self, other: &Numbers) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine |= theirs;
        }
    }

    /// Whether it holds all of another set.
    pub fn covers(&self, other: &Numbers) -> bool {
        let word = |at: usize| self.0.get(at).copied().unwrap_or(0);
        (0..).zip(&other.0).all(|(at, theirs)| theirs & !word(at) == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::Spec;
    use super::*;

    fn graph(text: &str) -> Graph {
        Graph::of(&Spec::read(text).unwrap().tasks)
    }

    #[test]
    fn edges_leave_sorted_by_target() {
        let g = graph("tasks: {a: {next: [{do: 'z, b'}, {do: b}]}, b: {action: x.y}, z: {action: x.y}}");
        let out: Vec<_> = g.nodes[0]
            .edges
            .iter()
            .map(|e| format!("{}{}:{}", g.nodes[e.target].name, e.number, e.transition))
            .collect();
        assert_eq!(out.join(" "), "b0:0 b1:1 z0:0");
        assert!(g.nodes[1].is_split());
    }

    #[test]
    fn only_what_can_follow_itself_is_in_a_cycle() {
        let g =
            graph("tasks: {a: {next: [{do: b}]}, b: {next: [{do: c}]}, c: {next: [{do: [b, d]}]}, d: {action: x.y}}");
        let cyclic: Vec<_> = g.nodes.iter().filter(|n| n.in_cycle).map(|n| &*n.name).collect();
        assert_eq!(cyclic, ["b", "c"]);
    }
}
