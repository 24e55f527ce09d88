// The OpenAPI document as tables.

const answer = await fetch("/openapi.json");
const api = await answer.json();
const main = document.getElementById("docs");

function element(name, text, parent) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

function table(heads, rows) {
  const scroll = element("div", undefined, main);
  scroll.className = "scroll";
  const made = element("table", undefined, scroll);
  const head = element("tr", undefined, element("thead", undefined, made));
  for (const text of heads) element("th", text, head).scope = "col";
  const body = element("tbody", undefined, made);
  for (const row of rows) {
    const line = element("tr", undefined, body);
    for (const text of row) element("td", text, line);
  }
}

function shape(schema) {
  if (schema.enum) return schema.enum.join(", ");
  if (schema.minimum !== undefined) return `${schema.type}, ${schema.minimum} to ${schema.maximum}`;
  return schema.type;
}

for (const [path, methods] of Object.entries(api.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    element("h2", `${method.toUpperCase()} ${path}`, main);
    element("p", operation.summary, main);
    if (operation.requestBody) element("p", `Body: ${Object.keys(operation.requestBody.content).join(", ")}`, main);
    if (operation.parameters) {
      table(["Parameter", "Value", "What it does"], operation.parameters.map(({ name, schema }) =>
        [name, shape(schema), schema.description ?? (schema.default ? `default: ${schema.default}` : "")]));
    }
    table(["Status", "When"], Object.entries(operation.responses).map(([status, { description }]) => [status, description]));
  }
}
