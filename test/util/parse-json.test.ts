/** Files that people write: plans, placements, schemas, with a byte order mark as some editors save them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { readPlacement } from '../../src/cli/placement-file.ts'
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

test('a member that stands twice is refused by its name, wherever it stands and however it is written', () => {
  expect(() => parseJsonText('{"a":[{"speed":1,"memory":2,"speed":3}]}')).toThrow(/"speed" twice/)
  expect(() => parseJsonText('\u{feff}{"k":1,"\\u006b":2}')).toThrow(/"k" twice/)
  expect(() => parseJsonText(`{"${'n'.repeat(1000)}":1,"${'n'.repeat(1000)}":2}`)).toThrow(/^.{1,140}$/)
  expect(parseJsonText('{"a":{"a":1},"b":["a","a"],"c":"a"}')).toEqual({ a: { a: 1 }, b: ['a', 'a'], c: 'a' })
})

test.each([
  ['a placement', (path: string) => readPlacement(path, 'm'), '{"model":"m","stages":[],"stages":[]}', 'WEFT-CLI-006'],
  ['a training plan', (path: string) => readPlan(path), '{"steps":1,"steps":2}', 'WEFT-INF-120'],
  ['a federated plan', (path: string) => readFedPlan(path), '{"rounds":1,"rounds":2}', 'WEFT-FED-060'],
])('%s that says one thing twice is refused with its code', async (_, read, text, code) => {
  const path = join(folder, 'twice.json')
  writeFileSync(path, text)
  const error = (await read(path).catch((thrown: unknown) => thrown)) as { code: string; message: string; why?: string }
  expect(error.code).toBe(code)
  expect(`${error.message} ${error.why}`).toContain(' twice')
})

test('the mark says nothing about a file of ours: what is wrong with it is told of what follows', async () => {
  const path = join(folder, 'plan.json')
  writeFileSync(path, '\u{feff}{"schema":"no plan"}')
  await expect(readPlan(path)).rejects.not.toThrow('no JSON')
  await expect(readFedPlan(path)).rejects.not.toThrow('cannot be read')
  expect(() => parseFleet('\u{feff}{}', 'fleet.json')).not.toThrow('not JSON')
})
