// Where each card of the map goes. The root on top, the teams below it in rows that fit the shape of the window, and under
// each team its members hang as an indented list. Pure: a tree and a shape in, positions and lines out.

export const CARD = { width: 216, height: 62 };
const GAP = { x: 28, y: 14, indent: 22, row: 46 };

/** One team: its first card and everything below, indented. */
function hang(organisation, top) {
  const cards = [];
  const lines = [];
  let y = 0;
  let deepest = 0;
  const place = (workspace, depth, parent) => {
    const at = { id: workspace.id, x: depth * GAP.indent, y, depth };
    cards.push(at);
    deepest = Math.max(deepest, depth);
    if (parent) {
      const trunk = parent.x + GAP.indent / 2;
      lines.push([[trunk, parent.y + CARD.height], [trunk, at.y + CARD.height / 2], [at.x, at.y + CARD.height / 2]]);
    }
    y += CARD.height + GAP.y;
    for (const child of organisation.children.get(workspace.id) ?? []) place(child, depth + 1, at);
  };
  place(top, 0, null);
  return { cards, lines, width: CARD.width + deepest * GAP.indent, height: y - GAP.y };
}

/** About how high a window is, in pixels: what fits into it needs no other shape. */
const WINDOW = 640;

/** Splits teams into rows so that the whole reads best: as large as it can be, and in one row where that costs nothing. */
function rowsFor(teams, shape) {
  let best = null;
  for (let columns = 1; columns <= teams.length; columns += 1) {
    const rows = [];
    for (let i = 0; i < teams.length; i += columns) rows.push(teams.slice(i, i + columns));
    const width = Math.max(...rows.map((row) => row.reduce((sum, team) => sum + team.width + GAP.x, -GAP.x)));
    const height = rows.reduce((sum, row) => sum + Math.max(...row.map((team) => team.height)) + GAP.row, CARD.height);
    // The scale at which it fits a window of this shape; it is never shown larger than it is.
    const scale = Math.min(1, (shape * WINDOW) / width, WINDOW / height);
    if (!best || scale >= best.scale) best = { scale, rows, width };
  }
  return best;
}

/** `{cards: [{id, x, y, depth}], lines: [[x, y]…], width, height}`. `shape` is width over height of the window. */
export function layout(organisation, shape = 1.6) {
  const { root } = organisation;
  if (!root) return { cards: [], lines: [], width: CARD.width, height: CARD.height };
  const teams = (organisation.children.get(root.id) ?? []).map((top) => hang(organisation, top));
  if (teams.length === 0) return { cards: [{ id: root.id, x: 0, y: 0, depth: 0 }], lines: [], width: CARD.width, height: CARD.height };
  const { rows, width } = rowsFor(teams, shape);
  const many = rows.length > 1;
  const left = many ? GAP.indent : 0;
  const rootX = many ? 0 : Math.max(0, (width - CARD.width) / 2);
  const cards = [{ id: root.id, x: rootX, y: 0, depth: 0 }];
  const lines = [];
  const trunk = many ? GAP.indent / 2 : rootX + CARD.width / 2;
  let y = CARD.height;
  for (const row of rows) {
    const bus = y + GAP.row / 2;
    y += GAP.row;
    const rowWidth = row.reduce((sum, team) => sum + team.width + GAP.x, -GAP.x);
    let x = left + (many ? 0 : Math.max(0, (width - rowWidth) / 2));
    for (const team of row) {
      const middle = x + CARD.width / 2;
      lines.push([[trunk, CARD.height], [trunk, bus], [middle, bus], [middle, y]]);
      for (const card of team.cards) cards.push({ ...card, x: card.x + x, y: card.y + y, depth: card.depth + 1 });
      for (const line of team.lines) lines.push(line.map(([lx, ly]) => [lx + x, ly + y]));
      x += team.width + GAP.x;
    }
    y += Math.max(...row.map((team) => team.height));
  }
  return { cards, lines, width: width + left, height: y };
}
