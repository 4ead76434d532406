//go:build race

package secure

func init() { underRace = true }
