// The same script for a facade and for the original package: what each sees, and where they differ.
import assert from 'node:assert/strict';
import { test } from 'node:test';

/**
 * One test for each row. The facade sees what `expected` says; the original sees the same, but where `differences` says what it sees
 * instead, and why that is meant. A difference that is not listed fails, and one that is listed and not there.
 */
export function compare({ rows, expected, differences, facade, original }) {
  const names = Object.keys(expected);
  for (const [row, title] of Object.entries(rows)) {
    const ofRow = names.filter((name) => name.startsWith(`${row} `));
    test(`${row} ${title}`, () => {
      assert.ok(ofRow.length > 0, `nothing is seen of ${row}`);
      for (const name of ofRow) {
        assert.deepEqual(facade().get(name), expected[name], `the facade: ${name}`);
        const { original: instead } = differences[name] ?? { original: expected[name] };
        assert.deepEqual(original().get(name), instead, `the original: ${name}`);
      }
    });
  }
  test('the differences are exactly those that are listed', () => {
    for (const seen of [facade(), original()]) assert.deepEqual([...seen.keys()].sort(), [...names].sort());
    const found = names.filter((name) => JSON.stringify(facade().get(name)) !== JSON.stringify(original().get(name)));
    assert.deepEqual(found.sort(), Object.keys(differences).sort());
    for (const name of found) assert.ok(differences[name].why && rows[name.split(' ')[0]], name);
  });
}
