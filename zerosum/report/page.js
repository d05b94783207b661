// The slider through the grids.
const stage = document.getElementById("stage");
const slider = document.getElementById("slider");
const thumbs = [...document.querySelectorAll(".strip button")];
function show(index) {
  stage.src = thumbs[index].querySelector("img").src;
  document.getElementById("stage-label").textContent = thumbs[index].textContent;
  slider.value = index;
  thumbs.forEach((thumb, i) => thumb.classList.toggle("now", i === Number(index)));
}
if (slider) {
  slider.classList.add("ready");
  slider.addEventListener("input", () => show(slider.value));
  thumbs.forEach((thumb, i) => thumb.addEventListener("click", () => show(i)));
  show(slider.value);
}

// The values of the curves under the pointer.
const SVG = "http://www.w3.org/2000/svg";
function make(name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  node.textContent = text || "";
  return node;
}
function point(svg, series, cursor, event) {
  const x = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse()).x;
  const near = series.map(({ points }) => points.reduce((a, b) => (Math.abs(b[2] - x) < Math.abs(a[2] - x) ? b : a)));
  const at = near[0][2];
  const left = at > 260;
  const label = { x: at + (left ? -8 : 8), "text-anchor": left ? "end" : "start" };
  cursor.replaceChildren(
    make("line", { x1: at, x2: at, y1: 12, y2: 222 }),
    ...near.map((p, i) => make("circle", { cx: p[2], cy: p[3], r: 3, class: `c${i % 8} dot` })),
    make("text", { ...label, y: 24 }, `${near[0][0].toLocaleString()} samples`),
    ...near.map((p, i) => make("text", { ...label, y: 40 + 15 * i, class: `c${i % 8} value` }, `${series[i].name} ${p[1]}`)),
  );
}
for (const svg of document.querySelectorAll("svg[data-plot]")) {
  const series = JSON.parse(svg.dataset.plot);
  const cursor = svg.querySelector(".cursor");
  svg.addEventListener("pointermove", (event) => point(svg, series, cursor, event));
  svg.addEventListener("pointerleave", () => cursor.replaceChildren());
}
