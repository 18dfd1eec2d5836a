/**
 * Where a passphrase comes from: a file that is named, one that the environment names, one that systemd hands over, or a person
 * at a terminal, who has three tries. Never an argument: those stand in the list of processes.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import {
  KeyLockedError,
  openKeyFile,
  PassphraseError,
  readPassphraseFile,
  TooManyAttemptsError,
  WrongPassphraseError,
} from '../trust/index.ts'
import type { Passphrase } from '../trust/index.ts'
import { BackupPassphraseError } from '../store/index.ts'
import type { Environment } from '../util/index.ts'
import type { CommandContext } from './context.ts'

export const PASSPHRASE_VARIABLE = 'WEFT_PASSPHRASE_FILE'
/** `LoadCredential=weft-passphrase:FILE` of a unit (systemd.exec(5)). */
const CREDENTIAL = 'weft-passphrase'
const TRIES = 3

/** Of a file, whoever names it; undefined: nobody does. @throws PassphraseError */
export async function passphraseFromFile(env: Environment, named?: string): Promise<Passphrase | undefined> {
  const folder = env['CREDENTIALS_DIRECTORY']
  const handed = folder === undefined || folder === '' ? undefined : join(folder, CREDENTIAL)
  const variable = env[PASSPHRASE_VARIABLE]
  const path =
    named ??
    (variable === '' ? undefined : variable) ??
    (handed !== undefined && existsSync(handed) ? handed : undefined)
  return path === undefined ? undefined : readPassphraseFile(path)
}

/**
 * Does what needs the passphrase. One from a file is tried once; a person is asked up to three times.
 * @throws TooManyAttemptsError, WrongPassphraseError, KeyLockedError
 */
export async function withPassphrase<Result>(
  context: CommandContext,
  path: string,
  use: (passphrase: Passphrase) => Promise<Result>,
): Promise<Result> {
  const given = await passphraseFromFile(context.io.env, context.flags.text('passphrase-file'))
  if (given !== undefined) return use(given)
  if (context.io.stdin.isTTY !== true) throw new KeyLockedError(path, '')
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    try {
      return await use(await ask(context, `passphrase for ${path}: `))
    } catch (error) {
      if (!isWrong(error)) throw error
      context.out.note(error.message)
    }
  }
  throw new TooManyAttemptsError(path)
}

function isWrong(error: unknown): error is Error {
  return (
    error instanceof WrongPassphraseError || error instanceof PassphraseError || error instanceof BackupPassphraseError
  )
}

/** One that was typed: a command that needs it twice does not ask twice. */
const typed = new WeakMap<CommandContext, Passphrase>()

/**
 * Does what may need the passphrase, which is asked for only where it does.
 * @throws KeyLockedError, WrongPassphraseError, TooManyAttemptsError
 */
export async function withMaybePassphrase<Result>(
  context: CommandContext,
  path: string,
  use: (passphrase: Passphrase | undefined) => Promise<Result>,
): Promise<Result> {
  const given = typed.get(context) ?? (await passphraseFromFile(context.io.env, context.flags.text('passphrase-file')))
  try {
    return await use(given)
  } catch (error) {
    if (given !== undefined || !(error instanceof KeyLockedError)) throw error
    return withPassphrase(context, path, async (passphrase) => {
      const result = await use(passphrase)
      typed.set(context, passphrase)
      return result
    })
  }
}

/**
 * What opens the keys of the home: undefined where they are not encrypted.
 * @throws KeyLockedError, WrongPassphraseError, TooManyAttemptsError
 */
export async function homePassphrase(context: CommandContext): Promise<Passphrase | undefined> {
  const directory = join(context.home, 'keys')
  const path = join(directory, 'identity.key')
  const given = typed.get(context) ?? (await passphraseFromFile(context.io.env, context.flags.text('passphrase-file')))
  if (given !== undefined) return given
  return withMaybePassphrase(context, path, async (passphrase) => {
    await openKeyFile(path, passphrase)
    return passphrase
  })
}

/** A new one: typed twice. @throws PassphraseError */
export async function newPassphrase(context: CommandContext, path: string): Promise<Passphrase> {
  const given = await passphraseFromFile(context.io.env, context.flags.text('passphrase-file'))
  if (given !== undefined) return given
  if (context.io.stdin.isTTY !== true) throw new KeyLockedError(path, '')
  const first = await ask(context, `new passphrase for ${path}: `)
  if ((await ask(context, 'once more: ')) === first) return first
  throw new PassphraseError('the two are not the same')
}

/** One line from the terminal, which does not show it. */
function ask({ io, signal }: CommandContext, question: string): Promise<string> {
  const { stdin, stderr } = io
  const raw = (on: boolean): void => {
    if ('setRawMode' in stdin) (stdin as unknown as { setRawMode(on: boolean): void }).setRawMode(on)
  }
  // Before the question: what is typed as soon as it stands there would be shown.
  raw(true)
  stderr.write(question)
  stdin.resume()
  return new Promise((resolve, reject) => {
    let text = ''
    const end = (finish: () => void): void => {
      stdin.off('data', read)
      signal.removeEventListener('abort', stop)
      raw(false)
      stdin.pause()
      stderr.write('\n')
      finish()
    }
    const stop = (): void => end(() => reject(signal.reason as Error))
    const read = (data: Buffer | string): void => {
      for (const letter of data.toString()) {
        if (letter === '\r' || letter === '\n' || letter === '\u0004') return end(() => resolve(text))
        // Raw mode takes Ctrl-C from the terminal: it must still end the command.
        if (letter === '\u0003') return end(() => reject(new PassphraseError('it was not given')))
        text = letter === '\u007f' ? text.slice(0, -1) : text + letter
      }
    }
    stdin.on('data', read)
    signal.addEventListener('abort', stop, { once: true })
  })
}
