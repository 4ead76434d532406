//go:build race

package reliable_test

func init() { underRace = true }
