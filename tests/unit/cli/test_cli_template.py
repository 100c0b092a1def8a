"""Go templates: what docker's users write in --format."""

import pytest

from wharf.cli.inspect import typed
from wharf.cli.template import Template
from wharf.cli.template_functions import GoMap, TemplateError

VALUE = {
    "Name": "/x",
    "State": {"Running": True, "Pid": 5},
    "List": ["a", "b"],
    "Map": GoMap(a="b", c="d"),
    "Mounts": [{"Type": "bind", "Source": "/s"}, {"Type": "volume", "Source": "/v"}],
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{.Name}}", "/x"),
        ("{{json .State}}", '{"Running":true,"Pid":5}'),
        ("{{range .List}}[{{.}}]{{end}}", "[a][b]"),
        ("{{range $key, $value := .Map}}{{$key}}={{$value}};{{end}}", "a=b;c=d;"),
        ("{{range $i, $e := .List}}{{if $i}},{{end}}{{$e}}{{end}}", "a,b"),
        ("{{range .None}}x{{else}}none{{end}}", "none"),
        ("{{if .State.Running}}yes{{else}}no{{end}}", "yes"),
        ("{{if not .State.Running}}a{{else if .List}}b{{else}}c{{end}}", "b"),
        ("{{with .State}}{{.Pid}}{{end}}", "5"),
        ("{{.Map}} {{.State}} {{.List}}", "map[a:b c:d] {true 5} [a b]"),
        ('{{join .List ","}}', "a,b"),
        ('{{.Name | upper | printf "%q"}}', '"/X"'),
        ("{{len .List}}", "2"),
        ('{{index .Map "a"}}', "b"),
        ("{{(index .Mounts 1).Source}}", "/v"),
        ('{{range .Mounts}}{{if eq .Type "bind"}}{{.Source}}{{end}}{{end}}', "/s"),
        ("{{println .Name}}", "/x\n"),
        ("{{- .Name -}}  x", "/xx"),
        ("{{/* nothing */}}z", "z"),
        ("{{$x := .Name}}{{$x}}", "/x"),
        ("{{if and .List (eq .State.Pid 5)}}ok{{end}}", "ok"),
        ("{{range .List}}{{$.Name}}{{end}}", "/x/x"),
        ('{{printf "%.1s|%3d|%-3s|" .Name 3 "a"}}', "/|  3|a  |"),
        ('{{slice .Name 1}}{{title "abc"}}{{lower "AB"}}', "xAbcab"),
        ('{{"}}"}}', "}}"),
        ("{{range .List}}{{break}}{{end}}done", "done"),
    ],
)
def test_a_template_gives_what_go_gives(text: str, expected: str) -> None:
    assert Template(text).execute({**VALUE, "None": []}) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{.ID", "unclosed action"),
        ("{{foo}}", 'function "foo" not defined'),
        ("{{if .Name}}", "unexpected EOF"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{if}}", "missing value for command"),
        ('{{"a}}', "unclosed action"),
        ("{{.Foo}}", 'map has no entry for key "Foo"'),
        ("{{.Name.Foo}}", "can't evaluate field Foo"),
        ("{{index .List 7}}", "index out of range: 7"),
        ("{{json}}", "error calling json"),
        ("{{$y}}", 'undefined variable "$y"'),
        ("{{if .Name}}" * 200, "nested deeper than 100"),
    ],
)
def test_a_wrong_template_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message.replace("{", r"\{").replace("$", r"\$")):
        Template(text).execute(VALUE)


def test_nil_prints_as_its_go_type_does_and_stays_null_in_json() -> None:
    value = typed({"Labels": None, "Cmd": None, "Health": None, "Config": {"Hostname": "h"}})
    assert Template("{{.Labels}} {{.Cmd}} {{.Health}} {{.Config}}").execute(value) == "map[] [] <nil> {h}"
    assert Template("{{json .}}").execute(value) == '{"Labels":null,"Cmd":null,"Health":null,"Config":{"Hostname":"h"}}'
