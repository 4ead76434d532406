package simnet

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const longest = 24 * time.Hour // of a time that ParseLink takes

// A faultKey is the name of a field of a Link.
type faultKey struct {
	name  string
	field any // pointer to the field
}

func (l *Link) keys() []faultKey {
	return []faultKey{
		{"loss", &l.Loss}, {"dup", &l.Duplicate}, {"reorder", &l.Reorder}, {"late", &l.Late},
		{"delay", &l.Delay}, {"jitter", &l.Jitter}, {"rate", &l.Bandwidth}, {"queue", &l.Queue},
		{"mtu", &l.MTU}, {"slice", &l.Slice}, {"stall", &l.Stall}, {"reset", &l.Reset}, {"seed", &l.Seed},
	}
}

// ParseLink reads a link as people write it, with commas or spaces between the
// faults, in any order:
//
//	loss=0.3,dup=5%,reorder=0.1,late=100ms   probabilities, and by how much late
//	delay=50ms,jitter=20ms                   times, at most 24h
//	rate=10M,queue=64k                       bits per second; bytes
//	mtu=1500                                 bytes
//	slice=1,stall=1M,reset=1M                bytes of a stream
//	seed=7                                   of the dice
//
// Probabilities are from 0 to 1, or from 0% to 100%. In the other numbers, but
// for the seed, k, M and G are a thousand, a million and a billion. What is left
// out is as in the zero Link; empty text and "none" are the zero Link. The error
// says what is wrong, and what would be right.
func ParseLink(s string) (Link, error) {
	var l Link
	words := strings.FieldsFunc(s, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	if slices.Equal(words, []string{"none"}) {
		return l, nil
	}
	keys, given := l.keys(), make(map[string]bool)
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		i := slices.IndexFunc(keys, func(k faultKey) bool { return k.name == name })
		var err error
		switch {
		case !ok:
			err = fmt.Errorf("want KEY=VALUE, without spaces, as in loss=0.3; the keys are %s", knownKeys())
		case i < 0:
			err = fmt.Errorf("there is no %q; the keys are %s", name, knownKeys())
		case given[name]:
			err = fmt.Errorf("%s is given twice", name)
		default:
			err = parseFault(keys[i].field, value)
		}
		given[name] = true
		if err != nil {
			return Link{}, fmt.Errorf("simnet: %q: %w", word, err)
		}
	}
	return l, nil
}

func knownKeys() string {
	var names []string
	for _, k := range new(Link).keys() {
		names = append(names, k.name)
	}
	return strings.Join(names, ", ")
}

func parseFault(field any, value string) (err error) {
	switch field := field.(type) {
	case *float64:
		*field, err = parseProbability(value)
	case *time.Duration:
		if *field, err = time.ParseDuration(value); err != nil || *field < 0 || *field > longest {
			return errors.New("want a time from 0 to 24h with its unit, as in 50ms, 1.5s or 1m")
		}
	case *uint64:
		if *field, err = strconv.ParseUint(value, 10, 64); err != nil {
			return errors.New("want a whole number from 0 to 18446744073709551615")
		}
	case *int64:
		*field, err = parseCount(value, math.MaxInt64)
	case *int:
		var n int64
		n, err = parseCount(value, math.MaxInt)
		*field = int(n)
	}
	return err
}

func parseProbability(value string) (float64, error) {
	digits, percent := strings.CutSuffix(value, "%")
	p, err := strconv.ParseFloat(digits, 64)
	if percent {
		p /= 100
	}
	if err != nil || !(p >= 0 && p <= 1) {
		return 0, errors.New("want a probability from 0 to 1, as 0.3, or from 0% to 100%, as 30%")
	}
	return math.Abs(p), nil // there is a -0
}

// units are the suffixes of numbers, the largest first.
var units = []struct {
	suffix string
	factor int64
}{{"G", 1e9}, {"M", 1e6}, {"k", 1e3}}

func parseCount(value string, most int64) (int64, error) {
	digits, factor := value, int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(value, u.suffix); ok {
			digits, factor = rest, u.factor
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > most/factor {
		return 0, fmt.Errorf("want a whole number from 0 to %d, as in 1500, 64k, 10M or 1G", most)
	}
	return n * factor, nil
}

// String returns the link as ParseLink reads it: what differs from the zero
// Link, which is "none".
func (l Link) String() string {
	var words []string
	for _, k := range l.keys() {
		var value string
		switch field := k.field.(type) {
		case *float64:
			value = strconv.FormatFloat(*field, 'g', -1, 64)
		case *time.Duration:
			value = field.String()
		case *uint64:
			value = strconv.FormatUint(*field, 10)
		case *int64:
			value = formatCount(*field)
		case *int:
			value = formatCount(int64(*field))
		}
		if value != "0" && value != "0s" {
			words = append(words, k.name+"="+value)
		}
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ",")
}

func formatCount(n int64) string {
	for _, u := range units {
		if n != 0 && n%u.factor == 0 {
			return strconv.FormatInt(n/u.factor, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10)
}
