/** doctor, logs, bugreport, service, key, capabilities: what they find, write and leave out. */
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { appendFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { loadNetworkKey } from '../../src/trust/index.ts'
import { BIN, call, emptyHome, json, jsonLines } from './support.ts'

interface Finding {
  readonly id: string
  readonly level: string
  readonly fix: string | null
}

const findings = (stdout: string): Finding[] => json(stdout)['checks'] as Finding[]

describe('doctor', () => {
  test('finds a key that others may read, says how to fix it, and has status 8; fixed, it has status 0', async () => {
    await using it = await emptyHome()
    mkdirSync(join(it.home, 'keys'))
    const key = join(it.home, 'keys', 'identity.key')
    writeFileSync(key, 'secret')
    chmodSync(key, 0o644)
    const loose = await call(['doctor', '--home', it.home, '--json'])
    expect(loose.status).toBe(8)
    expect(findings(loose.stdout)).toContainEqual(
      expect.objectContaining({ id: 'keys', level: 'fail', fix: `chmod 600 ${key}` }),
    )
    chmodSync(key, 0o600)
    const fixed = await call(['doctor', '--home', it.home, '--json'])
    expect(findings(fixed.stdout).filter((finding) => finding.level === 'fail')).toEqual([])
    expect(fixed.status).toBe(0)
  })

  test('every finding has an id, and everything that is not ok a fix', async () => {
    await using it = await emptyHome()
    writeFileSync(join(it.home, 'weft.sock'), '')
    const list = findings((await call(['doctor', '--home', it.home, '--json'])).stdout)
    expect(list.map((finding) => finding.id)).toEqual(
      expect.arrayContaining(['node', 'engine', 'home', 'socket', 'port', 'peer']),
    )
    expect(list.find((finding) => finding.id === 'peer')).toMatchObject({ level: 'fail' })
    for (const { fix, level } of list) expect(fix === null).toBe(level === 'ok')
  })
})

describe('logs', () => {
  const line = (time: number, level: string, msg: string, more: object = {}): string =>
    `${JSON.stringify({ level, time, pid: 1, name: 'net', msg, ...more })}\n`

  test('merges the files by time, keeps plain lines in place, and filters by level', async () => {
    await using it = await emptyHome()
    mkdirSync(join(it.home, 'logs'))
    writeFileSync(
      join(it.home, 'logs', 'weft.log'),
      line(1, 'info', 'one') + line(3, 'warn', 'three', { peer: 'a\u001B[2J' }),
    )
    writeFileSync(join(it.home, 'logs', 'up.log'), `${line(2, 'error', 'two')}plain\n`)
    const { stdout } = await call(['logs', '--home', it.home])
    expect(stdout.split('\n').map((text) => text.replace(/^[\d:.]+ /, ''))).toEqual([
      'INFO  net: one',
      'ERROR net: two',
      'plain',
      'WARN  net: three peer=a·[2J',
      '',
    ])
    const warnings = await call(['logs', '--home', it.home, '--level', 'warn', '--jsonl'])
    expect(jsonLines(warnings.stdout).map((entry) => entry['message'])).toEqual(['two', 'three'])
    expect((await call(['logs', '--home', it.home, '-n', '1'])).stdout).toMatch(/three/)
  })

  test('-f shows what is written later, also after the file was rotated', async () => {
    await using it = await emptyHome()
    mkdirSync(join(it.home, 'logs'))
    const file = join(it.home, 'logs', 'weft.log')
    writeFileSync(file, line(1, 'info', 'first') + line(2, 'info', 'second'))
    let step = 0
    const { status, stdout } = await call(['logs', '-f', '--home', it.home], {
      onOutput: (text, send) => {
        if (step === 0 && text.includes('second')) {
          step = 1
          setTimeout(() => void appendFile(file, line(3, 'info', 'third')), 400)
        } else if (step === 1 && text.includes('third')) {
          step = 2
          writeFileSync(file, line(4, 'info', 'fourth'))
        } else if (text.includes('fourth')) send('SIGINT')
      },
    })
    expect(status).toBe(130)
    expect(stdout.match(/first|second|third|fourth/g)).toEqual(['first', 'second', 'third', 'fourth'])
  })

  test('a home without logs is no failure', async () => {
    await using it = await emptyHome()
    expect(await call(['logs', '--home', it.home])).toMatchObject({ status: 0, stdout: '' })
  })
})

describe('bugreport', () => {
  test('writes one private file without prompts or keys, and no second one over it', async () => {
    await using it = await emptyHome()
    mkdirSync(join(it.home, 'logs'))
    const secret = `wk_${'a1B2'.repeat(10)}`
    const entry = { level: 'info', time: 1, msg: `key ${secret}`, prompt: 'my diary', tokens: 12 }
    writeFileSync(join(it.home, 'logs', 'weft.log'), `${JSON.stringify(entry)}\n`)
    const file = join(it.home, 'report.json.gz')
    const { status, stdout } = await call(['bugreport', 'it broke', '--home', it.home, '-o', file])
    expect({ status, stdout }).toEqual({ status: 0, stdout: `${file}\n` })
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const text = gunzipSync(readFileSync(file)).toString()
    expect(text).not.toContain(secret)
    expect(text).not.toContain('my diary')
    expect(json(text)).toMatchObject({ schema: 'weft.bugreport/1', note: 'it broke', status: null })
    expect((await call(['bugreport', '--home', it.home, '-o', file])).status).toBe(5)
  })
})

describe('service', () => {
  test('writes the unit where systemd looks, shows it with --dry-run, and removes it', async () => {
    await using it = await emptyHome()
    const env = { XDG_CONFIG_HOME: it.home }
    const path = join(it.home, 'systemd', 'user', 'weft.service')
    const dry = await call(['service', 'install', '--dry-run', '--home', '/data/my mesh'], { env })
    expect(dry.stdout).toMatch(/^ExecStart=".*" ".*weft" "up" "--foreground" "--home" "\/data\/my mesh"$/m)
    expect(existsSync(path)).toBe(false)
    const installed = await call(['service', 'install', '--home', '/data/my mesh'], { env })
    expect(installed.stdout).toBe(`${path}\n`)
    expect(installed.stderr).toContain('systemctl --user enable --now weft')
    expect(`${readFileSync(path, 'utf8').trimEnd()}\n`).toBe(dry.stdout)
    expect((await call(['service', 'uninstall'], { env })).status).toBe(0)
    expect((await call(['service', 'uninstall'], { env })).status).toBe(4)
  })

  test('the unit starts the peer with the options that were given, and none that weft up would refuse', async () => {
    await using it = await emptyHome()
    const env = { XDG_CONFIG_HOME: it.home }
    const install = ['service', 'install', '--dry-run', '--json', '--home', it.home]
    const options = ['--network-key', 'mesh.key', '--listen', '/ip4/0.0.0.0/tcp/7334', '--memory', '2GB', '--lan=off']
    const { unit } = json((await call([...install, ...options], { env })).stdout) as { unit: string }
    const start = /^ExecStart=(.*)$/m.exec(unit)?.[1]
    expect(start).toContain('"--memory=2000000000" "--lan=off"')
    expect(start).toContain('"--listen=/ip4/0.0.0.0/tcp/7334"')
    expect(start).toMatch(/"--network-key=\/.*\/mesh\.key"$/)
    expect((await call([...install, '--listen', 'here'], { env })).status).toBe(2)
    expect((await call(['service', 'uninstall', '--memory', '2GB'], { env })).status).toBe(2)
  })
})

describe('key', () => {
  test('id: who this peer is, made at the first question, the same at each', async () => {
    await using it = await emptyHome()
    const one = await call(['key', 'id', '--home', it.home])
    expect(one).toMatchObject({ status: 0, stdout: expect.stringMatching(/^12D3KooW\w+\n$/) })
    const again = json((await call(['key', 'id', '--home', it.home, '--json'])).stdout)
    expect(again).toEqual({ schema: 'weft.identity/1', peer: one.stdout.trim() })
    const secret = join(it.home, 'secret')
    await writeFile(secret, 'a passphrase of some length\n', { mode: 0o600 })
    await call(['key', 'encrypt', '--passphrase-file', secret, '--home', it.home])
    expect(await call(['key', 'id', '--home', it.home])).toMatchObject({ status: 0, stdout: one.stdout })
  })

  test('a key is shown once, listed without its secret, and revoked', async () => {
    await using it = await emptyHome()
    const made = json((await call(['key', 'create', '--name', 'chat', '--home', it.home, '--json'])).stdout)
    expect(made).toMatchObject({ schema: 'weft.key/1', name: 'chat', scopes: ['generate', 'read'] })
    const listed = (await call(['key', 'list', '--home', it.home, '--json'])).stdout
    expect(listed).not.toContain(String(made['secret']))
    expect(json(listed)['keys']).toMatchObject([{ id: made['id'] }])
    expect((await call(['key', 'revoke', String(made['id']), '--home', it.home])).status).toBe(0)
    expect((await call(['key', 'revoke', String(made['id']), '--home', it.home])).status).toBe(4)
  })

  test('a network key is a private file that up can read; it is not printed, and no other is overwritten', async () => {
    await using it = await emptyHome()
    const file = join(it.home, 'mesh.key')
    const made = await call(['key', 'network', file])
    expect(made).toMatchObject({ status: 0, stdout: `${file}\n` })
    expect(made.stderr).toContain(`weft up --network-key ${file}`)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const text = readFileSync(file, 'utf8')
    expect(Buffer.from(await loadNetworkKey(file)).toString('hex')).toBe(text.trimEnd().split(' ')[1])
    expect(made.stdout + made.stderr).not.toContain(text.trimEnd().split(' ')[1])
    const again = await call(['key', 'network', file, '--json'])
    expect(again.status).toBe(2)
    expect(json(again.stdout)).toMatchObject({
      error: { code: 'WEFT-TRU-005', hint: expect.stringContaining('another file') as unknown },
    })
    expect(readFileSync(file, 'utf8')).toBe(text)
    const other = await call(['key', 'network', join(it.home, 'other.key'), '--json'])
    expect(json(other.stdout)).toEqual({ schema: 'weft.network-key/1', path: join(it.home, 'other.key') })
    expect(readFileSync(join(it.home, 'other.key'), 'utf8')).not.toBe(text)
  })

  test('a network key needs a file to go to, and a folder that can be written', async () => {
    await using it = await emptyHome()
    expect(await call(['key', 'network', '--home', it.home])).toMatchObject({ status: 2 })
    const { status, stdout } = await call(['key', 'network', join(BIN, 'mesh.key'), '--json'])
    expect(status).toBe(5)
    expect(json(stdout)).toMatchObject({ error: { code: 'WEFT-TRU-003' } })
  })
})

describe('capabilities', () => {
  test('rows that need nothing hold here, and an unknown row is told', async () => {
    await using it = await emptyHome()
    const rows = ['usage', 'not-running', 'status']
    const { status, stdout } = await call(['capabilities', '--check', ...rows, '--home', it.home, '--json'])
    expect(status).toBe(0)
    expect(json(stdout)).toMatchObject({ pass: 2, fail: 0, skip: 1 })
    expect((await call(['capabilities', 'none'])).status).toBe(4)
  })
})
