/** Real processes: usage errors, JSON errors, exit statuses, help, signals, pipes. */
import { execFileSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { COMMANDS } from '../../src/cli/index.ts'
import { WeftError } from '../../src/errors.ts'
import { errorLines } from '../../src/cli/output.ts'
import { width } from '../../src/cli/text.ts'
import { call, emptyHome, json, weft } from './support.ts'

test('what an error says in its first line it does not say again', () => {
  class Told extends WeftError {
    constructor(message: string, why: string) {
      super({ code: 'WEFT-CLI-000', title: '', meaning: '', remedy: 'do it', exit: 2, http: 400 }, message, { why })
    }
  }
  const shown = (message: string): string[] => errorLines(new Told(message, 'block 9 is none'), (_style, text) => text)
  expect(shown('no cuts: block 9 is none')).toEqual([expect.stringContaining('block 9 is none'), '  try: do it'])
  expect(shown('no cuts')).toEqual([expect.stringContaining('no cuts'), '  why: block 9 is none', '  try: do it'])
})

describe('wrong usage', () => {
  test.each([
    [['stauts'], 'WEFT-CLI-001', 'did you mean weft status?'],
    [['run', 'm', '--temprature', '1'], 'WEFT-CLI-002', 'did you mean --temperature?'],
    [['run'], 'WEFT-CLI-003', 'usage: weft run MODEL'],
    [['run', 'm', 'hello', 'there'], 'WEFT-CLI-003', 'quote'],
    [['run', 'm', 'x', '--seed'], 'WEFT-CLI-003', '--seed needs a value'],
    [['run', 'm', 'x', '--seed', '1', '--seed', '2'], 'WEFT-CLI-003', 'twice'],
    [['run', 'm', 'x', '--max-tokens', '0'], 'WEFT-CLI-004', 'at least 1'],
    [['run', 'm', 'x', '--temperature', '-1'], 'WEFT-CLI-004', 'at least 0'],
    [['run', 'm', 'x', '--temperature', 'NaN'], 'WEFT-CLI-004', 'a number'],
    [['run', 'm', 'x', '--ids', '1,b'], 'WEFT-CLI-004', 'numbers'],
    [['run', 'm', 'x', '--ids', '1'], 'WEFT-CLI-003', 'in place of a prompt'],
    [['run', 'm', 'x', '--raw', '--system', 's'], 'WEFT-CLI-003', '--raw'],
    [['run', 'm', ''], 'WEFT-CLI-007', 'the prompt is empty'],
    [['run', 'm'], 'WEFT-CLI-007', 'nothing came on standard input'],
    [['up', '--lan', 'opn'], 'WEFT-CLI-004', 'did you mean open?'],
    [['up', '--memory', '2 apples'], 'WEFT-CLI-004', '2GB or 512MiB'],
    [['up', '--upload-limit', '10MB/h'], 'WEFT-CLI-004', '10MB/s'],
    [['up', '--upload-limit', '1kB/s'], 'WEFT-CLI-004', 'at least 256000 bytes a second'],
    [['up', '--listen', 'localhost'], 'WEFT-CLI-004', 'a multiaddr'],
    [['up', '--listen', 'none', '--listen', '/ip4/127.0.0.1/tcp/1'], 'WEFT-CLI-003', 'exclude each other'],
    [['up', '--announce', 'here'], 'WEFT-CLI-004', 'a multiaddr'],
    [['up', '--relay', 'maybe'], 'WEFT-CLI-004', 'one of on, off'],
    [['up', '--http', 'localhost:99999'], 'WEFT-CLI-004', 'HOST:PORT'],
    [['up', '--foreground', '--detach'], 'WEFT-CLI-003', 'exclude each other'],
    [['peers', 'aprove', 'x'], 'WEFT-CLI-004', 'did you mean approve?'],
    [['peers', 'approve'], 'WEFT-CLI-003', 'needs PEER'],
    [['split', 'm', '--parts', '2'], 'WEFT-CLI-003', '-o DIR'],
    [['split', 'm', '-o', 'x', '--cuts', '8,4'], 'WEFT-CLI-003', 'must rise'],
    [['vectors', 'frames'], 'WEFT-CLI-023', 'no suite'],
    [['wait', '--for', 'rain'], 'WEFT-CLI-004', 'peers=N'],
  ])('weft %j is status 2 with %s', async (argv, code, text) => {
    const plain = await call(argv)
    expect(plain).toMatchObject({ status: 2, stdout: '' })
    expect(plain.stderr).toContain(code)
    expect(plain.stderr).toContain(text)
    expect(plain.stderr.trimEnd().split('\n').length).toBeLessThanOrEqual(4)
    const structured = await call([...argv, '--json'])
    expect(structured).toMatchObject({ status: 2, stderr: '' })
    expect(json(structured.stdout)).toMatchObject({ schema: 'weft.error/1', error: { code } })
    expect(Object.keys((json(structured.stdout) as { error: object }).error)).toEqual([
      'code',
      'message',
      'why',
      'hint',
      'details',
    ])
  })

  test('a real process says the same', async () => {
    const { status, stdout, stderr } = await weft(['stauts'])
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
    expect(stderr).toMatch(/^error: weft has no command "stauts" +WEFT-CLI-001\n {2}try: did you mean weft status\?\n$/)
  })
})

describe('no peer is running', () => {
  test.each([
    ['status'],
    ['ps'],
    ['ls'],
    ['peers'],
    ['down'],
    ['show', 'm'],
    ['deploy', 'm'],
    ['undeploy', 'm'],
    ['ping', 'x'],
    ['netcheck'],
    ['rm', 'm'],
  ])('weft %s has status 3', async (...argv) => {
    await using it = await emptyHome()
    const { status, stdout } = await call([...argv, '--home', it.home, '--json'])
    expect(status).toBe(3)
    expect(json(stdout)).toMatchObject({ schema: 'weft.error/1', error: { code: 'WEFT-CLI-010' } })
  })

  test('wait gives it time, then has status 3', async () => {
    await using it = await emptyHome()
    expect((await call(['wait', '--home', it.home, '--timeout', '250ms'])).status).toBe(3)
  })
})

describe('help', () => {
  test('no line is wider than 80 columns, and every verb has its page', async () => {
    const texts = [await call([]), await call(['--help']), await call(['help'])]
    for (const { verb } of COMMANDS) texts.push(await call(['help', verb]), await call([verb, '--help']))
    for (const { status, stdout } of texts) {
      expect(status).toBe(0)
      expect(stdout.split('\n').filter((line) => width(line) > 80)).toEqual([])
    }
  })

  test('bare weft shows at most a dozen verbs and one line on how things stand', async () => {
    await using it = await emptyHome()
    const { stdout } = await call(['--home', it.home])
    expect(stdout.match(/^ {2}\w+ /gm)?.length).toBeLessThanOrEqual(12)
    expect(stdout.trimEnd().split('\n').at(-1)).toBe('not running: weft up starts this peer')
  })

  test('every code of the command line is explained', async () => {
    const { stdout } = await call(['help', 'errors', '--json'])
    const codes = (json(stdout)['errors'] as { code: string }[]).map((info) => info.code)
    expect(codes).toContain('WEFT-CLI-010')
    expect(new Set(codes).size).toBe(codes.length)
    expect((await call(['help', 'errors', 'weft-cli-010'])).stdout).toMatch(/What to do/)
    expect((await call(['help', 'errors', 'WEFT-CLI-999'])).status).toBe(4)
  })
})

describe('a process', () => {
  test('starts from any folder through a link, and says its version', async () => {
    const { status, stdout, stderr } = await weft(['version', '--json'])
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(json(stdout)).toMatchObject({ schema: 'weft.version/1', node: process.versions.node })
  })

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s while it waits has status %i and says nothing', async (signal, expected) => {
    await using it = await emptyHome()
    const { status, stdout } = await weft(['wait', '--home', it.home, '--timeout', '60s'], {
      started: (child) => child.stderr?.once('data', () => child.kill(signal)),
    })
    expect({ status, stdout }).toEqual({ status: expected, stdout: '' })
  })

  test('an interrupt that comes as the command takes over from the launcher is not lost', async () => {
    const { home, [Symbol.asyncDispose]: dispose } = await emptyHome()
    // Sent when the launcher takes its handler away: whatever is installed by then has to hear of it.
    const preload = `const remove = process.removeListener
      process.removeListener = function (name, listener) {
        if (name === 'SIGINT') process.kill(process.pid, 'SIGINT')
        return remove.call(this, name, listener)
      }`
    const env = { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(preload)}` }
    const { status, signal } = await weft(['wait', '--home', home, '--timeout', '30s'], { env })
    expect({ status, signal }).toEqual({ status: 130, signal: null })
    await dispose()
  })

  test('a wait says what it waits for, and until when', async () => {
    await using it = await emptyHome()
    const { stderr } = await weft(['wait', '--home', it.home, '--timeout', '2500ms'])
    expect(stderr).toMatch(/^waiting for the peer to be up \(2s so far, gives up in /)
  })

  test('a reader that has seen enough is no failure', () => {
    const script = `"${process.execPath}" bin/weft help errors | head -n 1; echo "\${PIPESTATUS[0]}"`
    const output = execFileSync('bash', ['-c', script], { encoding: 'utf8', cwd: new URL('../..', import.meta.url) })
    expect(output).toMatch(/^CODE.*\n0\n$/)
  })

  test('colours are used when they are forced, and not otherwise', async () => {
    expect((await weft([], { env: { FORCE_COLOR: '1' } })).stdout).toContain('\u001B[1m')
    expect((await weft([])).stdout).not.toContain('\u001B')
  })
})
