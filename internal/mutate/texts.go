package main

// textDefects are those of what a stranger says.
var textDefects = []defect{
	{"a sentence that ends with the goodbye is one", "message.go", root, []edit{
		{"m.Text == ExitMessage", "strings.HasSuffix(m.Text, ExitMessage)"},
	}},
	{"terminal escapes are shown", "message.go", root, []edit{
		{"|| r == '\\t' {", "|| r == '\\t' || r == '\\x1b' {"},
	}},
	{"a lone carriage return is shown", "message.go", root, []edit{
		{"|| r == '\\t' {", "|| r == '\\t' || r == '\\r' {"},
	}},
	{"changes of direction are shown", "message.go", root, []edit{
		{"|| r == '\\t' {", "|| r == '\\t' || unicode.Is(unicode.Bidi_Control, r) {"},
	}},
	{"what nobody sees is shown", "message.go", root, []edit{
		{"filler := unicode.Is(", "filler := false && unicode.Is("},
	}},
	{"a second line may look like a header", "message.go", root, []edit{
		{"if newline && r != '\\t' {", "if false {"},
	}},
	{"combining marks have no end", "message.go", root, []edit{
		{"marks++; marks <= maxMarks {", "marks++; true {"},
	}},
	{"a header's time is as long as it likes", "message.go", root, []edit{
		{" || len(stamp) > len(\"2024-02-03T12:15:00.123456789+01:00\")", ""},
	}},
	{"a year that cannot be written is read", "message.go", root, []edit{
		{"year < 1 || year > 9999 {", "year < -9999 {"},
	}},
}
