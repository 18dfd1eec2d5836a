/** What is wrong with a policy, and what a policy refuses. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorData, ErrorInfo } from '../../errors.ts'
import { POLICY_ACTIONS } from './types.ts'
import type { Decision, PolicyAction, PolicyRequest } from './types.ts'

export interface PolicyProblem {
  readonly line: number
  readonly column: number
  readonly message: string
}

export class PolicyFileError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-070',
    title: 'Policy with a mistake',
    meaning: 'A policy file cannot be read as a policy. It was not applied; what was in force before stays in force.',
    remedy: 'Correct the line that is named; weft policy check FILE tells all mistakes.',
    exit: EXIT.usage,
    http: 400,
  }

  readonly problems: readonly PolicyProblem[]

  constructor(path: string, problems: readonly PolicyProblem[]) {
    const [first] = problems
    const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : ''
    super(PolicyFileError.info, `${path}:${first?.line ?? 1}:${first?.column ?? 1}: ${first?.message ?? ''}${more}`, {
      details: { path, problems },
    })
    this.problems = problems
  }
}

export class PolicyAccessError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-071',
    title: 'Policy that others may change',
    meaning: 'The policy file, or the home that it lies in, belongs to somebody else or may be written by others.',
    remedy: 'chmod 600 policy.json, chmod 700 the mesh home, and give both to the user who runs weft.',
    exit: EXIT.denied,
    http: 500,
  }

  constructor(path: string, why: string, cause?: unknown) {
    super(PolicyAccessError.info, `the policy ${path} cannot be trusted`, { why, details: { path }, cause })
  }
}

export class PolicyRefusedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-072',
    title: 'Refused by the policy of a site',
    meaning:
      'The policy of this site, or of the peer that was asked, does not allow it. No coordinator can change that.',
    remedy: 'weft policy explain says what is allowed; whoever owns the file decides, with weft policy apply.',
    exit: EXIT.denied,
    http: 403,
  }

  /** @param site where it was refused @default here */
  constructor({ action, peer, model }: PolicyRequest, { rule, why }: Decision, site?: RefusingSite) {
    const whose = site === undefined ? HERE : siteOf(site)
    super(PolicyRefusedError.info, `${whose} does not allow to ${action}: rule ${rule}`, {
      why,
      details: {
        action,
        peer,
        rule,
        ...(model === undefined ? {} : { model }),
        ...(site === undefined ? {} : { site: site.peer }),
      },
    })
  }
}

/** A member whose policy refuses. */
export interface RefusingSite {
  readonly peer: string
  readonly name?: string | undefined
}

const HERE = 'the policy of this site'

function siteOf({ peer, name }: RefusingSite): string {
  return name === undefined || name === '' ? `the policy of ${peer}` : `the policy of ${name} (${peer})`
}

const REFUSAL = new RegExp(`^${HERE} does not allow to ([a-z]+): rule ([^\\s]{1,160})$`)

/** Of a text that another peer has given as its reason; undefined: it is none of its policy. */
export function refusalIn(reason: string): { readonly action: PolicyAction; readonly rule: string } | undefined {
  const [, action, rule] = REFUSAL.exec(reason) ?? []
  const known = POLICY_ACTIONS.find((each) => each === action)
  return known === undefined || rule === undefined ? undefined : { action: known, rule }
}

/** What another peer has said of its own policy, as it is said here. Other errors stay as they are. */
export function refusedElsewhere(data: ErrorData, site: RefusingSite): ErrorData {
  const { code, message } = data
  if (code !== PolicyRefusedError.info.code || !message.startsWith(HERE)) return data
  return { ...data, message: siteOf(site) + message.slice(HERE.length) }
}

export class PolicyMissingError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-073',
    title: 'Policy missing',
    meaning: 'This home had a policy, and its file is gone without having been taken out: nothing runs without it.',
    remedy:
      'Apply it again (weft policy apply FILE), restore it from a backup, or take it out by name: weft policy remove.',
    exit: EXIT.denied,
    http: 500,
  }

  constructor(path: string, sha256: string) {
    super(PolicyMissingError.info, `the policy ${path} is missing`, { details: { path, sha256 } })
  }
}

export class PolicyRequestError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-TRU-074',
    title: 'No request for a policy',
    meaning: 'What was to be tested against the policy is not a request that one could meet.',
    remedy:
      'A request is JSON such as {"action":"compute","peer":"12D3...","model":"smollm2:135m"}; docs/policy.md has all fields.',
    exit: EXIT.usage,
    http: 400,
  }

  constructor(why: string) {
    super(PolicyRequestError.info, `that is no request: ${why}`)
  }
}

export const POLICY_ERRORS: readonly ErrorInfo[] = [
  PolicyFileError.info,
  PolicyAccessError.info,
  PolicyRefusedError.info,
  PolicyMissingError.info,
  PolicyRequestError.info,
]
