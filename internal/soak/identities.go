package main

import (
	"fmt"
	"path/filepath"

	"github.com/seed287501ae/sockets/secure"
)

const knownPeersFile = "known"

// nameOf is the name of the participant of a slot.
func nameOf(slot int) string { return fmt.Sprint("p", slot) }

// identityFile is where the participant of a slot has its key.
func identityFile(folder string, slot int) string { return filepath.Join(folder, nameOf(slot)) }

// writeIdentities makes a key for each participant, in folder, and the file by
// which all know each other.
func writeIdentities(folder string, participants int) error {
	known, err := secure.LoadKnownPeers(filepath.Join(folder, knownPeersFile))
	if err != nil {
		return err
	}
	for slot := range participants {
		id, err := secure.NewIdentity(nameOf(slot))
		if err != nil {
			return err
		}
		if err := id.Save(identityFile(folder, slot)); err != nil {
			return err
		}
		if err := known.Add(secure.KnownPeer{Name: id.Name(), Key: id.PublicKey()}); err != nil {
			return err
		}
	}
	return nil
}

// secured returns the layer by which a participant shows its key and accepts
// those of the group.
func (b *birth) secured() (*secure.Config, error) {
	id, err := secure.LoadIdentity(b.Identity)
	if err != nil {
		return nil, err
	}
	known, err := secure.LoadKnownPeers(filepath.Join(filepath.Dir(b.Identity), knownPeersFile))
	if err != nil {
		return nil, err
	}
	return &secure.Config{Identity: id, Known: known, Group: "soak"}, nil
}
