import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../gradio_app", import.meta.url));
const MOST_COLUMNS = 110;
const MOST_LINES = 300;

const sources = readdirSync(ROOT, { recursive: true, encoding: "utf8" })
  .filter((name) => /^(browser|views)\b.*\.(js|css)$/.test(name))
  .map((name) => [name, readFileSync(`${ROOT}/${name}`, "utf8").split("\n")]);

// Biome breaks code, but neither comments nor texts.
test("no line is longer than 110 columns", () => {
  const long = sources.flatMap(([name, lines]) =>
    lines.flatMap((text, i) => ([...text].length > MOST_COLUMNS ? [`${name}:${i + 1}`] : [])),
  );
  assert.deepEqual(long, []);
});

test("no script is longer than 300 lines", () => {
  const long = sources.filter(([name, lines]) => name.endsWith(".js") && lines.length > MOST_LINES + 1);
  assert.deepEqual(
    long.map(([name]) => name),
    [],
  );
});
