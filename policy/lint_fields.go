package policy

import "github.com/open-policy-agent/opa/v1/ast"

// askFields adds to each body, for every object.get(x, "name", …) in it, the plain
// reference x.name: the engine checks the types of references and not the names that
// are given to functions. The module is only type-checked afterwards, never asked.
func askFields(m *ast.Module) {
	for _, r := range m.Rules {
		for ; r != nil; r = r.Else {
			askBody(&r.Body, r.Head)
		}
	}
}

// askBody adds to one body the references for its own calls and those of the terms
// that it binds (a head, the term of a comprehension).
func askBody(body *ast.Body, terms ...any) {
	var asked []*ast.Expr
	for _, e := range *body {
		ask(e, &asked)
	}
	for _, t := range terms {
		ask(t, &asked)
	}
	for _, e := range asked {
		body.Append(e)
	}
}

func ask(x any, asked *[]*ast.Expr) {
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.ArrayComprehension:
			askBody(&x.Body, x.Term)
			return true
		case *ast.SetComprehension:
			askBody(&x.Body, x.Term)
			return true
		case *ast.ObjectComprehension:
			askBody(&x.Body, x.Key, x.Value)
			return true
		case *ast.Every:
			ask(x.Domain, asked)
			askBody(&x.Body)
			return true
		case *ast.Not:
			askBody(&x.Body)
			return true
		case *ast.Expr:
			if terms, ok := x.Terms.([]*ast.Term); ok {
				askCall(terms, x.Location, asked)
			}
		case *ast.Term:
			if call, ok := x.Value.(ast.Call); ok {
				askCall(call, x.Location, asked)
			}
		}
		return false
	}).Walk(x)
}

func askCall(terms []*ast.Term, at *ast.Location, asked *[]*ast.Expr) {
	ref, ok := asReference(terms)
	if !ok {
		return
	}
	term := ast.NewTerm(ref).SetLocation(at)
	ref[0].SetLocation(at)
	*asked = append(*asked, ast.NewExpr(term).SetLocation(at))
}

// asReference is object.get(x, "name", …), or with a path of names, as a reference.
func asReference(terms []*ast.Term) (ast.Ref, bool) {
	if len(terms) < 4 || terms[0].Value.String() != ast.ObjectGet.Name {
		return nil, false
	}
	var ref ast.Ref
	switch v := terms[1].Value.(type) {
	case ast.Var:
		ref = ast.Ref{ast.NewTerm(v)}
	case ast.Ref:
		ref = v.Copy()
	case ast.Call:
		inner, ok := asReference(v)
		if !ok {
			return nil, false
		}
		ref = inner
	default:
		return nil, false
	}
	switch key := terms[2].Value.(type) {
	case ast.String:
		return ref.Append(ast.NewTerm(key)), true
	case *ast.Array:
		for i := range key.Len() {
			name, ok := key.Elem(i).Value.(ast.String)
			if !ok {
				break
			}
			ref = ref.Append(ast.NewTerm(name))
		}
		return ref, key.Len() > 0
	}
	return nil, false
}
