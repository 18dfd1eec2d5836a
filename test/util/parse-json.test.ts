/** Files that people write: plans, placements, schemas, with a byte order mark as some editors save them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { readFedPlan } from '../../src/federated/index.ts'
import { parseFleet } from '../../src/placement/index.ts'
import { readPlan } from '../../src/training/index.ts'
import { parseJsonText } from '../../src/util/index.ts'

const folder = mkdtempSync(join(tmpdir(), 'weft-json-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('one mark goes, no more, and only at the start', () => {
  expect(parseJsonText('\u{feff}{"a":"\u{feff}"}')).toEqual({ a: '\u{feff}' })
  expect(parseJsonText('[1]')).toEqual([1])
  for (const text of ['\u{feff}\u{feff}1', ' \u{feff}1', '\u{feff}', ''])
    expect(() => parseJsonText(text), JSON.stringify(text)).toThrow(SyntaxError)
})

test('the mark says nothing about a file of ours: what is wrong with it is told of what follows', async () => {
  const path = join(folder, 'plan.json')
  writeFileSync(path, '\u{feff}{"schema":"no plan"}')
  await expect(readPlan(path)).rejects.not.toThrow('no JSON')
  await expect(readFedPlan(path)).rejects.not.toThrow('cannot be read')
  expect(() => parseFleet('\u{feff}{}', 'fleet.json')).not.toThrow('not JSON')
})
