// Package simnet simulates networks: hosts in memory, and links between them
// that lose, duplicate, reorder and delay what they carry.
package simnet
