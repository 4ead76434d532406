package report

import (
	"fmt"
	"html"
	"strings"
)

// style follows the colour scheme of the reader. A picture stands on a card of
// its own, so that it can be read where the page's scheme is another.
const style = `
text{font:13px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1f2328}
.title{font-weight:600}.dim{fill:#59636e}.small{font-size:11px}
.card{fill:#fff;stroke:#d1d9e0}.grid{stroke:#d1d9e0}.range{stroke:#1f2328}
.ours{fill:#0969da}.owned{fill:#80b8f5}.rival{fill:#8c959f}.limit{fill:#d4a72c}
.line{fill:none;stroke-width:2}
.l0{stroke:#0969da}.l1{stroke:#80b8f5}.l2{stroke:#bc4c00}.l3{stroke:#8c959f}.l4{stroke:#1a7f37}.l5{stroke:#8250df}
.t0{fill:#0969da;font-weight:600}.t1{fill:#54a3f0}.t2{fill:#bc4c00}.t3{fill:#59636e}.t4{fill:#1a7f37}.t5{fill:#8250df}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.dim,.t3{fill:#9198a1}.card{fill:#0d1117;stroke:#3d444d}.grid{stroke:#2a313c}.range{stroke:#e6edf3}
.ours{fill:#4493f8}.owned{fill:#1f4f8f}.rival{fill:#656c76}.limit{fill:#9e6a03}
.l0{stroke:#4493f8}.l1{stroke:#2f6fbf}.t0{fill:#4493f8}.t1{fill:#6cb0ff}.t2{fill:#f0883e}.t4{fill:#3fb950}.t5{fill:#ab7df8}
}`

// A picture is an SVG being drawn: text is text, and nothing in it runs.
type picture struct {
	strings.Builder
	width, height float64
	title         string
}

func (p *picture) text(x, y float64, anchor, class, s string) {
	fmt.Fprintf(p, `<text x="%.1f" y="%.1f" text-anchor="%s" class="%s">%s</text>`+"\n", x, y, anchor, class, html.EscapeString(s))
}

func (p *picture) rect(x, y, width, height float64, class string) {
	fmt.Fprintf(p, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="%s" rx="2"/>`+"\n", x, y, width, height, class)
}

func (p *picture) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(p, `<path d="M%.1f %.1fL%.1f %.1f" class="%s"/>`+"\n", x1, y1, x2, y2, class)
}

func (p *picture) polyline(points [][2]float64, class string) {
	for i, at := range points {
		fmt.Fprintf(p, "%s%.1f %.1f", map[bool]string{true: `<path d="M`, false: "L"}[i == 0], at[0], at[1])
	}
	fmt.Fprintf(p, `" class="%s"/>`+"\n", class)
}

// svg is the whole document.
func (p *picture) svg() []byte {
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]g %[2]g" width="%[1]g" height="%[2]g" role="img">
<title>%[3]s</title>
<style>%[4]s
</style>
<rect x="0.5" y="0.5" width="%[5]g" height="%[6]g" class="card" rx="6"/>
%[7]s</svg>
`, p.width, p.height, html.EscapeString(p.title), style, p.width-1, p.height-1, p.String())
}
