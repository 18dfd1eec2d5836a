/** weft service install|uninstall: writes or removes the systemd unit, and says what to run. */
import { existsSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { Command, Flags } from '../context.ts'
import { CannotWriteError, NotHereError, UsageError } from '../errors.ts'
import { nextCommands, unitPath, unitText } from '../systemd.ts'
import type { Scope } from '../systemd.ts'
import { peerInit } from '../up-options.ts'

/** Of this command; the home has its own place in the unit. */
const NOT_OF_THE_PEER = ['user', 'system', 'dry-run', 'home', 'json', 'jsonl', 'quiet', 'verbose', 'no-color']

const FILES = ['network-key', 'passphrase-file'] as const

export const command: Command = async (context) => {
  const { flags, home, io, out } = context
  if (flags.flag('user') && flags.flag('system')) throw new UsageError('--user and --system exclude each other')
  const scope: Scope = flags.flag('system') ? 'system' : 'user'
  const action = flags.required(0) === 'install' ? 'install' : 'uninstall'
  const path = unitPath(scope, io.env)
  const options = peerOptions(flags)
  if (action === 'uninstall' && options.length > 0) {
    throw new UsageError(`${options[0]!.split('=')[0]!} is for weft service install`)
  }
  // What `weft up` would refuse is refused now, not when the machine starts.
  peerInit(context)
  const unit = unitText({ scope, self: io.self, home, options })
  const dry = flags.flag('dry-run')
  if (action === 'uninstall' && !existsSync(path))
    throw new NotHereError('unit', path, 'weft service install writes one')
  if (!dry) await (action === 'install' ? write(path, unit) : remove(path))
  const next = nextCommands(scope, action)
  if (out.structured)
    out.document({
      schema: 'weft.service/1',
      action,
      path,
      written: !dry,
      unit: action === 'install' ? unit : null,
      next,
    })
  else if (dry) out.line(action === 'install' ? unit.trimEnd() : `would remove ${path}`)
  else {
    out.line(path)
    out.note(action === 'install' ? 'written. Now run:' : 'removed; it goes on until it is stopped. Now run:')
    for (const line of next) out.note(`  ${line}`)
  }
}

/** As arguments of `weft up`, which runs in another folder than this command. */
function peerOptions(flags: Flags): string[] {
  const rest = flags.tokens([...NOT_OF_THE_PEER, ...FILES])
  const named = FILES.flatMap((name) => {
    const file = flags.text(name)
    return file === undefined ? [] : [`--${name}=${resolve(file)}`]
  })
  return [...rest, ...named]
}

async function write(path: string, unit: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, unit, { mode: 0o644 })
  } catch (error) {
    throw new CannotWriteError(path, error)
  }
}

async function remove(path: string): Promise<void> {
  try {
    await rm(path)
  } catch (error) {
    throw new CannotWriteError(path, error)
  }
}
