package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Sizes in pixels, but columns: as many as a line of a terminal holds.
const (
	columns   = 55
	tabStop   = 8
	charWidth = 7.6
	rowHeight = 18
	padding   = 14
	chrome    = 34
	gap       = 16
	width     = columns*charWidth + 2*padding
)

const style = `
text { font: 12.5px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #d6d9e0 }
text.typed { fill: #8bd5a0; font-weight: bold }
text.title { fill: #9aa1b1; text-anchor: middle }
`

// A screen is what one terminal shows.
type screen struct {
	title string
	lines []line
}

type line struct {
	text  string
	typed bool // by the user, not printed by the program
}

// draw returns an SVG picture of the screens, side by side.
func draw(screens ...screen) []byte {
	rows := 0
	for _, s := range screens {
		rows = max(rows, len(s.rows()))
	}
	height := chrome + 2*padding + (rows+1)*rowHeight
	total := len(screens)*(width+gap) - gap
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" xml:space="preserve">`+"\n", total, height)
	fmt.Fprintf(&b, "<title>%s</title>\n<style>%s</style>\n", "Two terminals, in which two people chat", style)
	for i, s := range screens {
		fmt.Fprintf(&b, `<g transform="translate(%d 0)">`+"\n", i*(width+gap))
		fmt.Fprintf(&b, `<rect width="%g" height="%d" rx="9" fill="#1c1f27"/>`+"\n", width, height)
		fmt.Fprintf(&b, `<path d="M0 %d V9 Q0 0 9 0 H%g Q%g 0 %[3]g 9 V%[1]d Z" fill="#2b2f3a"/>`+"\n", chrome, width-9, width)
		for dot, colour := range []string{"#ff5f57", "#febc2e", "#28c840"} {
			fmt.Fprintf(&b, `<circle cx="%d" cy="%d" r="6" fill="%s"/>`+"\n", 20+20*dot, chrome/2, colour)
		}
		fmt.Fprintf(&b, `<text class="title" x="%g" y="%d">%s</text>`+"\n", width/2, chrome/2+4, escape(s.title))
		for row, l := range s.rows() {
			text := strings.TrimLeft(l.text, " ")
			if text == "" {
				continue
			}
			class := ""
			if l.typed {
				class = ` class="typed"`
			}
			// With textLength the columns are the same in every font.
			fmt.Fprintf(&b, `<text%s x="%.1f" y="%d" textLength="%.1f">%s</text>`+"\n", class,
				padding+float64(len(l.text)-len(text))*charWidth, baseline(row),
				float64(utf8.RuneCountInString(text))*charWidth, escape(text))
		}
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%g" height="15" fill="#d6d9e0"/>`+"\n", padding, baseline(len(s.rows()))-12, charWidth)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// baseline returns where the text of a row stands.
func baseline(row int) int {
	return chrome + padding + row*rowHeight + 12
}

// rows returns the lines as a terminal shows them: tabs expanded, and cut where the screen ends.
func (s screen) rows() []line {
	var rows []line
	for _, l := range s.lines {
		var row []rune
		for _, r := range l.text {
			switch {
			case r == '\t':
				row = append(row, []rune(strings.Repeat(" ", tabStop-len(row)%tabStop))...)
			case len(row) == columns:
				rows = append(rows, line{string(row), l.typed})
				row = []rune{r}
			default:
				row = append(row, r)
			}
		}
		rows = append(rows, line{string(row), l.typed})
	}
	return rows
}

func escape(text string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(text)) // a Builder never fails
	return b.String()
}
