/** Library: what it contains, its folders, adding and removing images, tags and metadata. */

import { fill, h } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { createImages } from "./manage/images.js";
import { createJobs } from "./manage/jobs.js";
import { createOverview } from "./manage/overview.js";
import { createTags } from "./manage/tags.js";

const PARTS = [
  { name: "overview", title: "Overview", icon: "info", create: createOverview },
  { name: "images", title: "Images", icon: "image", create: createImages },
  { name: "tags", title: "Tags", icon: "tag", create: createTags },
];

/** @type {import("./table.js").Mount} */
export async function mount(root, context) {
  const { router, library } = context;
  const jobs = createJobs(context);
  const links = PARTS.map(({ name, title, icon: sign }) =>
    h("a", { class: "part", href: router.href("manage", { part: name === "overview" ? null : name }), data: { name } }, icon(sign), title));
  const place = h("div", { class: "part-place" });
  const note = library.read_only && h("p", { class: "note-line" }, icon("info"), "This server was started with --read-only: nothing can be changed here.");
  fill(root, h("h1", { class: "visually-hidden" }, "Library"), h("nav", { class: "parts", "aria-label": "Library" }, links), note, jobs.element, place);
  let shown = "";
  let part = null;
  const unlisten = router.listen(({ view, params }) => view === "manage" && show(params));
  show(router.current().params);
  return () => {
    unlisten();
    part?.stop();
    jobs.stop();
  };

  function show(params) {
    const wanted = PARTS.find(({ name }) => name === params.get("part")) ?? PARTS[0];
    for (const link of links) {
      if (link.dataset.name === wanted.name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (wanted.name !== shown) {
      part?.stop();
      shown = wanted.name;
      part = wanted.create(context, { jobs });
      fill(place, part.element);
    }
    part.show?.(params);
  }
}
