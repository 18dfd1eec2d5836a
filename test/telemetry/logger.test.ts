import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { createLogger, createRotatingFile, LogFileError, sanitize } from '../../src/telemetry/index.ts'
import type { Logger } from '../../src/telemetry/index.ts'

const SECRET = 'the patient has a secret'

function captured(): { logger: Logger; text: () => string; lines: () => Record<string, unknown>[] } {
  const lines: string[] = []
  const logger = createLogger({ name: 'test', level: 'trace', destination: { write: (line) => void lines.push(line) } })
  return {
    logger,
    text: () => lines.join(''),
    lines: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>),
  }
}

describe('logger', () => {
  test('writes one JSON object a line, with the level as a word', () => {
    const { logger, lines } = captured()
    logger.info({ peer: 'abc', tokens: 12 }, 'request %s ended', 'r1')
    expect(lines()).toMatchObject([{ level: 'info', name: 'test', peer: 'abc', tokens: 12, msg: 'request r1 ended' }])
  })

  test('redacts prompts, messages, keys and tokens wherever they stand', () => {
    const { logger, text, lines } = captured()
    logger.info({ prompt: SECRET })
    logger.info({ request: { body: { messages: [{ role: 'user', content: SECRET }] } } })
    logger.info({ a: { b: { c: { Authorization: SECRET, api_key: SECRET, 'X-Cookie': 1 } } } })
    logger.info({ headers: { authorization: SECRET, 'set-cookie': [SECRET] }, tokens: [SECRET] })
    logger.child({ network_key: SECRET, peer: 'p' }).warn({ ids: [1, 2] }, 'child')
    logger.error({ err: Object.assign(new Error('failed'), { prompt: SECRET, details: { text: SECRET } }) })
    logger.error(new Error('outer', { cause: Object.assign(new Error('inner'), { password: SECRET }) }))
    expect(text()).not.toContain('patient')
    expect(lines()[4]).toMatchObject({ network_key: '[redacted]', peer: 'p', ids: '[redacted]', msg: 'child' })
  })

  test('cuts keys out of running text', () => {
    const { logger, text } = captured()
    logger.info({ header: 'Bearer abc.def' }, 'called with wk_0123456789abcdefghij and %s', 'Bearer zzz')
    expect(text()).not.toMatch(/abc\.def|0123456789abc|zzz/)
  })

  test('line breaks and terminal sequences from outside stay on their line and harmless', () => {
    const { logger, text, lines } = captured()
    logger.info({ model: 'm\r\n{"level":"fatal","msg":"forged"}' }, 'user \u001b[31mred\u001b[0m\nsecond %s', '\u009bx')
    logger.error(new Error('first\nsecond \u001b]0;title\u0007'))
    expect(lines().length).toBe(2)
    expect(text().split('\n').length).toBe(3)
    // oxlint-disable-next-line no-control-regex -- the check is that none of these is left
    const live = /[\u0000-\u001f\u007f-\u009f]/
    const strings = (value: unknown): string[] =>
      typeof value === 'object' && value !== null ? Object.values(value).flatMap(strings) : [String(value)]
    for (const line of lines()) for (const one of strings(line)) expect(one).not.toMatch(live)
  })

  test('survives anything: cycles, throwing getters, proxies, bigints, bytes', () => {
    const { logger, lines } = captured()
    const cycle: Record<string, unknown> = { big: 10n, bytes: new Uint8Array(3) }
    cycle['self'] = cycle
    Object.defineProperty(cycle, 'bad', {
      enumerable: true,
      get: () => {
        throw new Error('no')
      },
    })
    logger.info(cycle, 'odd')
    expect(lines()).toMatchObject([{ big: '10', bytes: '[3 bytes]', bad: '[unreadable]', msg: 'odd' }])
    fc.assert(fc.property(fc.anything(), (value) => typeof JSON.stringify([sanitize(value)]) === 'string'))
  })
})

describe('rotating file', () => {
  const folders: string[] = []
  const folder = (): string => {
    const made = mkdtempSync(join(tmpdir(), 'weft-log-'))
    folders.push(made)
    return made
  }
  afterEach(() => {
    for (const made of folders.splice(0)) rmSync(made, { recursive: true, force: true })
  })

  test('keeps at most the stated bytes in the stated number of files, the newest lines last', () => {
    const path = join(folder(), 'logs', 'weft.log')
    const file = createRotatingFile({ path, maxBytes: 1_000, files: 3 })
    for (let index = 0; index < 500; index += 1) file.write(`${String(index).padStart(49, '.')}\n`)
    file.close()
    for (const name of [path, `${path}.1`, `${path}.2`]) expect(statSync(name).size, name).toBeLessThanOrEqual(1_000)
    expect(existsSync(`${path}.3`)).toBe(false)
    expect(readFileSync(path, 'utf8')).toMatch(/\.499\n$/)
    expect(readFileSync(`${path}.1`, 'utf8')).toContain('.479\n')
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(file.lost()).toBe(0)
  })

  test('goes on in the same file after a restart', () => {
    const path = join(folder(), 'weft.log')
    for (const line of ['first\n', 'second\n']) {
      const file = createRotatingFile({ path })
      file.write(line)
      file.close()
      file.write('after close\n')
    }
    expect(readFileSync(path, 'utf8')).toBe('first\nsecond\n')
  })

  test('is a destination of the logger', () => {
    const path = join(folder(), 'weft.log')
    const file = createRotatingFile({ path })
    createLogger({ name: 'x', destination: file }).info('hello')
    file.close()
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ msg: 'hello' })
  })

  test('refuses with a code when the place cannot be written, and counts later failures without throwing', () => {
    const base = folder()
    writeFileSync(join(base, 'file'), '')
    expect(() => createRotatingFile({ path: join(base, 'file', 'weft.log') })).toThrow(LogFileError)
    const path = join(base, 'gone', 'weft.log')
    const file = createRotatingFile({ path, maxBytes: 10 })
    file.write('one\n')
    rmSync(join(base, 'gone'), { recursive: true })
    writeFileSync(join(base, 'gone'), '')
    file.write('a line that needs a new file\n')
    expect(file.lost()).toBe(1)
    rmSync(join(base, 'gone'))
    file.write('back\n')
    expect(readFileSync(path, 'utf8')).toBe('back\n')
    chmodSync(path, 0o600)
    file.close()
  })
})
