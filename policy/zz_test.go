package policy
import ("testing";"os";"pip-witness/rules";"context";"fmt";"path/filepath"
"github.com/open-policy-agent/opa/v1/ast"
"github.com/open-policy-agent/opa/v1/tester"
"github.com/open-policy-agent/opa/v1/storage/inmem")
func TestZZ(t *testing.T){ c,_:=LoadCatalogue(rules.FS,nil)
 for i:=0;i<2;i++ {
	modules := map[string]*ast.Module{}
	var err error
	for n,src:=range c.modules { text,_:=c.Link(n,src); if i%2==1 && n=="pth_injection" {text,_=os.ReadFile("/tmp/pth.rego")}; modules[n],_,err=parseModule(n,text); if err!=nil{t.Fatal(err)} }
	files,_ := filepath.Glob("../rules/lib/*.rego")
	f2,_:=filepath.Glob("../rules/*_test.rego")
	for _,f:=range append(files,f2...) { d,_:=os.ReadFile(f); modules[f],_,_=parseModule(f,d)}
	store := inmem.NewFromObject(map[string]any{"pip_witness": map[string]any{"indicators": plain(c.indicators)}})
	ctx := context.Background(); txn,_ := store.NewTransaction(ctx)
	res,err := tester.NewRunner().SetStore(store).SetModules(modules).RunTests(ctx,txn); if err!=nil{t.Fatal(err)}
	n,bad:=0,""
	for r:=range res { if r.Fail||r.Error!=nil {n++; bad+=fmt.Sprint(r.Name," ",r.Error,"\n")}}
	if i==0 { b,_:=c.Link("pth_injection",c.modules["pth_injection"]); os.WriteFile("/tmp/pth_new.rego",b,0o644)}; if len(bad)>150 {bad=bad[:150]}; fmt.Println(i,n,bad)
	store.Abort(ctx,txn)
 }
}
