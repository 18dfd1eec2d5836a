/** Answers that outlive the process: over real files, which somebody may have damaged. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Journal } from '../../src/peer/index.ts'
import type { JournalEntry, StreamJournal } from '../../src/peer/index.ts'
import { createAtRest, newIdentity } from '../../src/trust/index.ts'
import { systemClock, systemRandom } from '../../src/util/index.ts'
import { found } from '../integration/canaries.ts'
import { DIGEST, FakeError, fakeManifest, MODEL, PEER_LOST } from './fake-peer.ts'
import { EVENTS, holdAt, numbersOf, readPart, TEXT, textOf, upTo } from './resume-support.ts'
import type { Part } from './resume-support.ts'
import { failure, post, start, until } from './support.ts'
import type { Running } from './support.ts'

const CHAT = '/v1/chat/completions'
const chat = { model: MODEL, messages: [{ role: 'user', content: 'the secret prompt' }], stream: true, temperature: 1 }

const atRest = createAtRest(newIdentity(), systemRandom())
let folder: string
let log: string[]
let running: Running
const opened: Journal[] = []

beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'weft-journal-')), 'journal')
  log = []
  await startAgain()
})
afterEach(async () => {
  await running.api.close()
  for (const journal of opened.splice(0)) journal.close()
  await rm(join(folder, '..'), { recursive: true })
})

/** A new process as far as it can be seen from outside: nothing is left of the old one but the folder. */
async function startAgain(wrap: (journal: Journal) => StreamJournal = (journal) => journal): Promise<void> {
  const journal = await Journal.open({ clock: systemClock(), atRest, log: (line) => void log.push(line) }, folder)
  opened.push(journal)
  running = await start({ needs: { journal: wrap(journal) } })
}

const entries = (): string[] => readdirSync(folder)
const again = (last: string): Promise<Part> =>
  readPart(`${running.url}${CHAT}`, { body: {}, headers: { 'last-event-id': last } })
async function refused(last: string): Promise<string> {
  const answer = await post(running.url, CHAT, {}, { 'last-event-id': last })
  return `${answer.status} ${(await failure(answer)).weft.code}`
}

/** Three events of an answer, then the process is gone without a word: nothing of it writes any more. */
async function killed(body: object = {}): Promise<Part> {
  holdAt(running.peer, 3)
  const part = await readPart(`${running.url}${CHAT}`, { body: { ...chat, ...body } }, 3)
  expect(entries()).toEqual([`${part.request}.json`])
  const kept = readFileSync(join(folder, entries()[0]!))
  await running.api.close()
  await until(() => running.peer.ended === 1)
  writeFileSync(join(folder, `${part.request}.json`), kept)
  return part
}

describe('with a journal', () => {
  test('an answer is computed again after a restart, with its seed and ids, and sent from where it stopped', async () => {
    const part = await killed()
    const { seed } = running.peer.requests[0]!.sampling
    await startAgain()
    const rest = await again(part.last)
    expect([...numbersOf(part), ...numbersOf(rest)]).toEqual(upTo(1, EVENTS))
    expect(textOf([...part.events, ...rest.events])).toBe(TEXT)
    expect(running.peer.requests[0]!.sampling.seed).toBe(seed)
    const heads = [...part.events, ...rest.events.slice(0, -1)].map(({ data }) => {
      const { id, created } = JSON.parse(data) as { id: string; created: number }
      return `${id} ${created}`
    })
    expect(new Set(heads).size).toBe(1)
    expect(running.telemetry.counters()).toMatchObject({ journal_restored: 1, streams_resumed: 1, streams_orphaned: 0 })
  })

  test('nothing of the prompt can be read on the disk without the identity of the peer', async () => {
    const { request } = await killed()
    const text = readFileSync(join(folder, `${request}.json`))
    const prompt = 'the secret prompt'
    expect(found([text], { prompt, route: 'chat' })).toEqual([])
    const { sealed } = JSON.parse(text.toString('utf8')) as { sealed: string }
    const bytes = Buffer.from(sealed, 'base64')
    expect(found([bytes], { prompt })).toEqual([])
    // the control: with it all of it is there
    expect(found([atRest.open(request, bytes)!], { prompt })).toContain('prompt: plain')
  })

  test('also a second time, after another restart in the middle of that; and by GET', async () => {
    const part = await killed()
    await startAgain()
    holdAt(running.peer, 5)
    const second = await readPart(`${running.url}${CHAT}`, { body: {}, headers: { 'last-event-id': part.last } }, 2)
    await running.api.close()
    expect(entries()).toEqual([`${part.request}.json`])
    await startAgain()
    const path = `/v1/streams/${part.request}`
    const rest = await readPart(`${running.url}${path}`, { headers: { 'last-event-id': second.last } })
    expect([...numbersOf(part), ...numbersOf(second), ...numbersOf(rest)]).toEqual(upTo(1, EVENTS))
    expect(textOf([...part.events, ...second.events, ...rest.events])).toBe(TEXT)
  })

  test('two that come back at once are one answer, not two', async () => {
    const part = await killed()
    // Both have read the entry before either begins.
    const both = Promise.withResolvers<void>()
    let reading = 0
    const slow = async (journal: Journal, id: string): Promise<JournalEntry | undefined> => {
      const entry = await journal.read(id)
      reading += 1
      if (reading === 2) both.resolve()
      await both.promise
      return entry
    }
    await startAgain((journal) => ({
      write: (entry) => journal.write(entry),
      remove: (id) => journal.remove(id),
      read: (id) => slow(journal, id),
    }))
    const release = holdAt(running.peer, 4)
    const answers = [again(part.last), again(part.last)]
    await until(() => running.telemetry.counters()['streams_resumed'] === 2)
    release()
    const texts = (await Promise.all(answers)).map(({ events }) => textOf([...part.events, ...events]))
    expect(texts).toContain(TEXT)
    expect(running.peer.requests.length).toBe(1)
  })

  test('lines of JSON come back too, and an id that is ahead of the answer is refused', async () => {
    holdAt(running.peer, 3)
    const body = { model: MODEL, input: { kind: 'text', text: 'x' }, resume_s: 9 }
    const answer = await fetch(`${running.url}/api/v1/generate`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    const id = answer.headers.get('x-weft-request')
    await running.api.close()
    await startAgain()
    expect((await post(running.url, '/api/v1/generate', {}, { 'last-event-id': `${id}:99` })).status).toBe(409)
    const rest = await post(running.url, '/api/v1/generate', {}, { 'last-event-id': `${id}:3` })
    const numbers = [...(await rest.text()).matchAll(/"n":(\d+)\}$/gm)].map((match) => Number(match[1]))
    expect(numbers).toEqual(upTo(4, 8))
  })

  test('prompts lie there for their owner alone, and go with the answer', async () => {
    holdAt(running.peer, 3)
    const part = await readPart(`${running.url}${CHAT}`, { body: { ...chat, weft: { resume_s: 0 } } }, 3)
    const path = join(folder, `${part.request}.json`)
    if (existsSync(path)) expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(folder).mode & 0o777).toBe(0o700)
    await until(() => entries().length === 0)
    running.peer.hold = null
    await readPart(`${running.url}${CHAT}`, { body: chat })
    expect(entries().length).toBe(1)
    expect((await post(running.url, CHAT, { ...chat, model: 'none' })).status).toBe(404)
    await running.api.close()
    expect(entries()).toEqual([])
    expect(log).toEqual([])
  })

  test('what failed because others were not there is computed again when its client comes back again', async () => {
    const part = await killed()
    await startAgain()
    const away = { ...PEER_LOST, retryable: true }
    Object.assign(running.peer, { failAt: -1, failure: new FakeError(away, 'nobody has it yet') })
    for (let attempt = 0; attempt < 2; attempt += 1) expect(await refused(part.last)).toBe('503 WEFT-INF-503')
    running.peer.failAt = null
    expect(textOf([...part.events, ...(await again(part.last)).events])).toBe(TEXT)
  })

  test('another model under the same name would go on with another text: refused', async () => {
    const part = await killed()
    await startAgain()
    running.peer.manifest = async () => ({ ...fakeManifest(), digest: DIGEST.replace('a', 'b') })
    expect(await refused(part.last)).toBe('409 WEFT-API-025')
    expect(running.peer.requests.length).toBe(0)
  })
})

describe('a journal that somebody has damaged', () => {
  test('is passed over with a line each, and the peer serves', async () => {
    const part = await killed()
    const path = join(folder, `${part.request}.json`)
    const kept = JSON.parse(readFileSync(path, 'utf8')) as { sealed: string }
    const good = JSON.parse(atRest.open(part.request, Buffer.from(kept.sealed, 'base64'))!.toString()) as Record<
      string,
      unknown
    >
    const sealed = (entry: object, place = part.request, by = atRest): string =>
      JSON.stringify({ ...kept, sealed: by.seal(place, Buffer.from(JSON.stringify(entry))).toString('base64') })
    const turned = Buffer.from(kept.sealed, 'base64')
    turned[40]! ^= 1
    await startAgain()
    const bad: (string | Uint8Array)[] = [
      '',
      '{',
      new Uint8Array(4_096).fill(255),
      '['.repeat(1_000_000),
      sealed({ ...good, route: '../x' }),
      sealed({ ...good, request: 'A'.repeat(22) }),
      sealed({ ...good, given: { seed: -1 } }),
      sealed({ ...good, more: 1 }),
      sealed({ ...good, schema: 'weft.journal/2' }),
      // in clear, as it was before it was sealed; sealed for another place; by another peer; a bit that turned
      JSON.stringify(good),
      sealed(good, 'A'.repeat(22)),
      sealed(good, part.request, createAtRest(newIdentity(), systemRandom())),
      JSON.stringify({ ...kept, sealed: turned.toString('base64') }),
      `${JSON.stringify(kept)}${' '.repeat(9 << 20)}`,
    ]
    for (const [index, bytes] of bad.entries()) {
      writeFileSync(path, bytes)
      expect(await refused(part.last), `case ${index}`).toBe('404 WEFT-API-020')
      expect(log.length).toBe(index + 1)
    }
    expect(log.join('\n')).not.toContain('secret')
    for (const body of ['{', '['.repeat(99), '{"stream":true}', '{"__proto__":{}}']) {
      writeFileSync(path, sealed({ ...good, body }))
      expect(await refused(part.last)).toMatch(/^400 WEFT-API-01[02]$/)
    }
    await rm(path)
    mkdirSync(path)
    expect(await refused(part.last)).toBe('404 WEFT-API-020')
    await rm(path, { recursive: true })
    writeFileSync(join(folder, '..', 'elsewhere'), JSON.stringify(kept))
    symlinkSync(join(folder, '..', 'elsewhere'), path)
    expect(await refused(part.last)).toBe('404 WEFT-API-020')
    expect(running.peer.requests.length).toBe(0)
    expect(textOf((await readPart(`${running.url}${CHAT}`, { body: chat })).events)).toBe(TEXT)
  })

  test('is swept at the start: what is a day old, and what a killed process was writing', async () => {
    const part = await killed()
    const name = `${part.request}.json`
    const day = Date.now() / 1000 - 86_401
    for (const old of [`${'A'.repeat(22)}.json`, 'something']) {
      writeFileSync(join(folder, old), 'x')
      utimesSync(join(folder, old), day, day)
    }
    writeFileSync(join(folder, `.weft-1-0-0-${name}.tmp`), 'half a prompt')
    await startAgain()
    expect(entries()).toEqual([name])
    await Journal.discard(folder)
    expect(existsSync(folder)).toBe(false)
  })

  test('does not stop answers where it cannot be written', async () => {
    await rm(folder, { recursive: true })
    writeFileSync(folder, 'a file')
    const part = await readPart(`${running.url}${CHAT}`, { body: chat })
    expect(textOf(part.events)).toBe(TEXT)
    expect(log[0]).toContain('the journal: a request was not written')
    await rm(folder)
    mkdirSync(folder)
    chmodSync(folder, 0o700)
  })
})
