//! Memory blocks that come, go, and are on their way.

use super::*;
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
    blocks.begin(span(0, 2), Direction::Online).unwrap().finish();
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
    blocks.begin(span(1, 1), Direction::Online).unwrap().finish();
    assert!(blocks.begin(span(0, 2), Direction::Online).is_err());
    assert_eq!(blocks.get(BlockNr::new(0)).unwrap().state, BlockState::Offline);
    assert!(blocks.node_is_online(NODE, span(0, 1)) && !blocks.node_is_online(NODE, span(1, 1)));
}

#[test]
fn a_block_of_two_nodes_stays_online() {
    // H-32, T-25
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
