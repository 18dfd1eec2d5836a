/** A draft's process yields to all others, and nobody else does. */
import { mkdtempSync, rmSync } from 'node:fs'
import { constants, getPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { StageHostLostError } from '../../src/pipeline/host/host-errors.ts'
import { runYielding } from '../../src/pipeline/draft/run-yielding.ts'
import { systemClock } from '../../src/util/index.ts'

const HOST = fileURLToPath(new URL('../../src/pipeline/host/main.ts', import.meta.url))
const codeCache = mkdtempSync(join(tmpdir(), 'weft-yielding-'))
afterAll(() => rmSync(codeCache, { recursive: true, force: true }))
const needs = { clock: systemClock(), codeCache }

test('a host that is started has the lowest priority, its peer keeps its own', async () => {
  const before = getPriority()
  const host = runYielding(needs, { name: 'draft host', path: HOST })
  try {
    expect(getPriority(host.pid)).toBe(constants.priority.PRIORITY_LOW)
    expect(getPriority()).toBe(before)
  } finally {
    await host.stop()
  }
})

test('a host that cannot be started takes nothing from its peer', async () => {
  const [before, node] = [getPriority(), process.execPath]
  process.execPath = join(codeCache, 'no-such-program')
  let host
  try {
    host = runYielding(needs, { name: 'draft host', path: HOST })
  } finally {
    process.execPath = node
  }
  expect(host.pid).toBe(0)
  expect(getPriority()).toBe(before)
  expect(await host.ended).toBeInstanceOf(StageHostLostError)
})
