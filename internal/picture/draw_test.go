package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestDrawingIsWellFormed(t *testing.T) {
	hostile := screen{title: `A & "B" </text>`, lines: []line{
		{text: `$ echo "<&>" ]]>`, typed: true},
		{text: "\x1b[31m\x00 and \xff"},
		{text: ""},
	}}
	decoder := xml.NewDecoder(bytes.NewReader(draw(hostile, screen{title: "empty"})))
	var texts []string
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if data, ok := token.(xml.CharData); ok {
			texts = append(texts, string(data))
		}
	}
	for _, want := range []string{hostile.title, hostile.lines[0].text, "empty"} {
		if !strings.Contains(strings.Join(texts, ""), want) {
			t.Errorf("the drawing does not contain %q", want)
		}
	}
}

func TestRowsAreThoseOfATerminal(t *testing.T) {
	full := strings.Repeat("é", columns)
	tests := []struct{ text, want string }{
		{"", ""},
		{"\tHello", "        Hello"},
		{"ab\tc", "ab      c"},
		{full, full},
		{full + "é", full + "|é"},
		{full + full + "é", full + "|" + full + "|é"},
	}
	for _, test := range tests {
		var rows []string
		for _, row := range (screen{lines: []line{{text: test.text}}}).rows() {
			rows = append(rows, row.text)
		}
		if got := strings.Join(rows, "|"); got != test.want {
			t.Errorf("rows of %q = %q, want %q", test.text, got, test.want)
		}
	}
}
