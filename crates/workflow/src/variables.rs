//! Variables under numbers, in trees that share what they have in common.
//!
//! Every task of a run sees variables of its own: those of the task before it and what that one published. A copy for each
//! would make a run of ten thousand tasks a hundred million entries. Here the variables lie in the leaves of a
//! tree, and a change copies one leaf and the way to it; everything else is shared by all who had it before.
//!
//! What a variable is, and how two of them meet at a join, is for the language to say.

use squall_model::{Map, Str, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// Children of a node, and places of a leaf.
const WIDTH: usize = 4;

/// Numbers of variables, numbered in the order of their first appearance in a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Numbers {
    names: Vec<Str>,
    numbers: HashMap<Str, u32>,
}

impl Numbers {
    /// The number of a variable, whether it has one already or not.
    pub fn number(&mut self, name: &Str) -> u32 {
        if let Some(number) = self.find(name) {
            return number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.clone());
        self.numbers.insert(name.clone(), number);
        number
    }

    /// The number of a variable that somebody published. A few names are compared faster than one is hashed.
    pub fn find(&self, name: &str) -> Option<u32> {
        if self.names.len() <= 8 {
            return self.all().find(|(_, known)| ***known == *name).map(|(number, _)| number);
        }
        self.numbers.get(name).copied()
    }

    /// Values under numbers instead of names.
    pub fn numbered(&mut self, values: &Map) -> Box<[(u32, Value)]> {
        values.iter().map(|(name, value)| (self.number(name), value.clone())).collect()
    }

    /// All names with their numbers.
    pub fn all(&self) -> impl Iterator<Item = (u32, &Str)> {
        (0..).zip(&self.names)
    }
}

/// An array without end, whose places are the default until somebody fills them. Cloning costs a reference count.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tree<T> {
    root: Option<Node<T>>,
    height: u32,
}

impl<T> Default for Tree<T> {
    fn default() -> Tree<T> {
        Tree { root: None, height: 0 }
    }
}

impl<T: Clone + Default> Tree<T> {
    /// What lies at a place, if anybody filled it or one beside it.
    pub fn get(&self, place: u32) -> Option<&T> {
        let place = place as usize;
        if place >= WIDTH.pow(self.height + 1) {
            return None;
        }
        let (mut node, mut height) = (self.root.as_ref()?, self.height);
        loop {
            match node {
                Node::Leaf(places) => return Some(&places[place % WIDTH]),
                Node::Inner(children) => {
                    node = children[place / WIDTH.pow(height) % WIDTH].as_ref()?;
                    height -= 1;
                }
            }
        }
    }

    /// A place to be filled.
    pub fn at(&mut self, place: u32) -> &mut T {
        while place as usize >= WIDTH.pow(self.height + 1) {
            self.grow();
        }
        let height = self.height;
        self.root.get_or_insert_with(|| Node::empty(height)).at(height, place as usize)
    }

    fn grow(&mut self) {
        if self.root.is_some() {
            let mut children: [Option<Node<T>>; WIDTH] = Default::default();
            children[0] = self.root.take();
            self.root = Some(Node::Inner(Arc::new(children)));
        }
        self.height += 1;
    }

    /// Lets every place meet the one of `other`, but for what the two share anyway.
    pub fn meet(&mut self, other: &Tree<T>, each: &mut impl FnMut(u32, &mut T, &T)) {
        while self.height < other.height {
            self.grow();
        }
        if let Some(theirs) = &other.root {
            let mine = self.root.get_or_insert_with(|| Node::empty(self.height));
            mine.meet(self.height, theirs, other.height, 0, each);
        }
    }
}

/// Children are `None` where nothing lies.
#[derive(Debug, Clone, PartialEq)]
enum Node<T> {
    Leaf(Arc<[T; WIDTH]>),
    Inner(Arc<[Option<Node<T>>; WIDTH]>),
}

impl<T: Clone + Default> Node<T> {
    fn empty(height: u32) -> Node<T> {
        if height == 0 { Node::Leaf(Arc::default()) } else { Node::Inner(Arc::default()) }
    }

    fn at(&mut self, height: u32, place: usize) -> &mut T {
        match self {
            Node::Leaf(places) => &mut Arc::make_mut(places)[place % WIDTH],
            Node::Inner(children) => {
                let child = &mut Arc::make_mut(children)[place / WIDTH.pow(height) % WIDTH];
                child.get_or_insert_with(|| Node::empty(height - 1)).at(height - 1, place)
            }
        }
    }

    /// Whether two nodes are one and the same.
    fn is(&self, other: &Node<T>) -> bool {
        match (self, other) {
            (Node::Leaf(a), Node::Leaf(b)) => Arc::ptr_eq(a, b),
            (Node::Inner(a), Node::Inner(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    fn meet(
        &mut self,
        height: u32,
        other: &Node<T>,
        other_height: u32,
        first: u32,
        each: &mut impl FnMut(u32, &mut T, &T),
    ) {
        if self.is(other) {
            return;
        }
        match (self, other) {
            (Node::Inner(mine), _) if height > other_height => {
                let child = Arc::make_mut(mine)[0].get_or_insert_with(|| Node::empty(height - 1));
                child.meet(height - 1, other, other_height, first, each);
            }
            (Node::Inner(mine), Node::Inner(theirs)) => {
                let width = (WIDTH as u32).pow(height);
                for ((mine, theirs), at) in Arc::make_mut(mine).iter_mut().zip(theirs.iter()).zip(0..) {
                    if let Some(theirs) = theirs {
                        let mine = mine.get_or_insert_with(|| Node::empty(height - 1));
                        mine.meet(height - 1, theirs, other_height - 1, first + at * width, each);
                    }
                }
            }
            (Node::Leaf(mine), Node::Leaf(theirs)) => {
                for ((mine, theirs), at) in Arc::make_mut(mine).iter_mut().zip(theirs.iter()).zip(first..) {
                    each(at, mine, theirs);
                }
            }
            _ => {}
        }
    }
}
