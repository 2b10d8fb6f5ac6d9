//! The stack file: text in, [`Stack`] out. Pure: it touches no network and no other room.
