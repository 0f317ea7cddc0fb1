//! Memory blocks are made, switched and removed.

use super::*;
use std::string::ToString;
use std::vec::Vec;

const NODE: NodeId = NodeId::new(0);

fn span(first: u64, count: u64) -> BlockSpan {
    BlockSpan::new(BlockNr::new(first), count)
}

fn states(blocks: &Blocks<'_>) -> Vec<(u64, BlockState)> {
    blocks.iter().map(|block| (block.nr.get(), block.state)).collect()
}

#[test]
fn blocks_come_and_go_in_order() {
    let mut memory = [None; 5];
    let mut blocks = Blocks::new(&mut memory);
    blocks.vacancy(span(6, 2), NODE).unwrap().commit();
    blocks.vacancy(span(2, 2), NODE).unwrap().commit();
    let offline = [2, 3, 6, 7].map(|nr| (nr, BlockState::Offline));
    assert_eq!(states(&blocks), offline);
    let exists = BlockError::Exists { block: BlockNr::new(3), state: BlockState::Offline };
    assert_eq!(blocks.vacancy(span(3, 2), NODE).err(), Some(exists));
    assert!(matches!(blocks.vacancy(span(9, 2), NODE).err(), Some(BlockError::Full(_))));
    assert!(matches!(blocks.vacancy(span(9, u64::MAX), NODE).err(), Some(BlockError::Full(_))));
    let missing = BlockError::Missing { block: BlockNr::new(4) };
    assert_eq!(blocks.removal(span(3, 2)).err(), Some(missing));
    assert_eq!(states(&blocks), offline);
    blocks.removal(span(3, 1)).unwrap().commit();
    assert_eq!(states(&blocks), [offline[0], offline[2], offline[3]]);
}

#[test]
fn what_is_dropped_on_its_way_goes_back() {
    let mut memory = [None; 2];
    let mut blocks = Blocks::new(&mut memory);
    blocks.vacancy(span(0, 2), NODE).unwrap().commit();
    drop(blocks.begin(span(0, 2), Direction::Online).unwrap());
    assert_eq!(blocks.get(BlockNr::new(1)).unwrap().state, BlockState::Offline);
    blocks.begin(span(0, 2), Direction::Online).unwrap().arrived();
    assert_eq!(blocks.get(BlockNr::new(1)).unwrap().state, BlockState::Online);
    assert!(matches!(blocks.begin(span(0, 2), Direction::Online).err(), Some(BlockError::Illegal(_))));
    assert!(matches!(blocks.removal(span(0, 1)).err(), Some(BlockError::NotOffline { .. })));
    drop(blocks.begin(span(0, 1), Direction::Offline).unwrap());
    assert_eq!(blocks.get(BlockNr::new(0)).unwrap().state, BlockState::Online);
}

#[test]
fn one_block_in_the_wrong_state_stops_them_all() {
    let mut memory = [None; 2];
    let mut blocks = Blocks::new(&mut memory);
    blocks.vacancy(span(0, 2), NODE).unwrap().commit();
    blocks.begin(span(1, 1), Direction::Online).unwrap().arrived();
    assert!(blocks.begin(span(0, 2), Direction::Online).is_err());
    assert_eq!(blocks.get(BlockNr::new(0)).unwrap().state, BlockState::Offline);
    assert!(blocks.node_is_online(NODE, span(0, 1)) && !blocks.node_is_online(NODE, span(1, 1)));
}

#[test]
fn a_block_of_two_nodes_stays_online() {
    // A block with memory of several nodes cannot go offline (H-32, T-25).
    let mut memory = [None; 3];
    let mut blocks = Blocks::new(&mut memory);
    blocks.adopt(span(0, 2), NODE).unwrap();
    blocks.adopt(span(1, 2), NodeId::new(1)).unwrap();
    let several = BlockError::SeveralNodes { block: BlockNr::new(1) };
    assert_eq!(blocks.begin(span(1, 1), Direction::Offline).err(), Some(several));
    blocks.adopt(span(1, 1), NODE).unwrap();
    assert_eq!(blocks.begin(span(1, 1), Direction::Offline).err(), Some(several));
    assert!(matches!(blocks.adopt(span(2, 2), NODE), Err(BlockError::Full(_))));
    assert_eq!(blocks.get(BlockNr::new(2)).unwrap().node, Some(NodeId::new(1)), "nothing changed");
}

#[test]
fn blocks_of_different_nodes_go_separately() {
    let mut memory = [None; 2];
    let mut blocks = Blocks::new(&mut memory);
    blocks.vacancy(span(0, 1), NODE).unwrap().commit();
    blocks.vacancy(span(1, 1), NodeId::new(1)).unwrap().commit();
    let (block, other) = (BlockNr::new(1), NodeId::new(1));
    let differ = BlockError::NodesDiffer { block, node: NODE, other };
    assert_eq!(blocks.begin(span(0, 2), Direction::Online).err(), Some(differ));
}

#[test]
fn each_node_of_a_shared_block_is_online() {
    let [first, second, third] = [0, 1, 2].map(NodeId::new);
    let mut memory = [None; 3];
    let mut blocks = Blocks::new(&mut memory);
    blocks.adopt(span(0, 2), first).unwrap();
    blocks.adopt(span(1, 1), second).unwrap();
    blocks.vacancy(span(2, 1), second).unwrap().commit();
    assert_eq!(blocks.get(BlockNr::new(1)).map(|it| (it.node, it.has_memory_of(second))), Some((None, true)));
    assert!(blocks.node_is_online(first, span(0, 1)) && blocks.node_is_online(second, span(2, 1)));
    assert!(!blocks.node_is_online(second, span(1, 1)) && !blocks.node_is_online(third, span(2, 1)));
}

#[test]
fn a_node_too_many_is_named_and_changes_nothing() {
    let mut memory = [None; 2];
    let mut blocks = Blocks::new(&mut memory);
    let most = u32::try_from(Nodes::MOST).unwrap();
    (0..most).for_each(|nr| blocks.adopt(span(1, 1), NodeId::new(nr)).unwrap());
    let (block, node) = (BlockNr::new(1), NodeId::new(most));
    let error = blocks.adopt(span(0, 2), node).unwrap_err();
    assert_eq!(error, BlockError::TooManyNodes { block, node });
    let words = "memory block 1 has memory of more than 8 nodes, node 8 is one too many; choose smaller memory blocks";
    assert_eq!(error.to_string(), words);
    assert!(blocks.get(BlockNr::new(0)).is_none() && !blocks.node_is_online(node, span(0, 1)));
}
