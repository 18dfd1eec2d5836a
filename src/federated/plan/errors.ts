/** What is refused about a plan, a data file or a job before anything is computed. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'

export class FedPlanError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-060',
    title: 'Plan of a federation not usable',
    meaning:
      'A plan or a data file of a federation is no JSON, has a field that there is not, or one that cannot work.',
    remedy: 'Correct the field that the message names; docs/federated.md describes each.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(where: string, field: string, why: string, cause?: unknown) {
    super(FedPlanError.info, `${where}: ${field === '' ? '' : `"${field}" `}${why}`, {
      details: { where, field },
      cause,
    })
  }
}

export class FedFileError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-071',
    title: 'Plan or data file cannot be opened',
    meaning:
      'The file of a plan, or the one that describes the data of a site, is missing, too large, no file, or must not be read.',
    remedy:
      'Check its path and its permissions. `weft fed new -o FILE` writes a plan to begin with; docs/federated.md has a data file.',
    exit: EXIT.notFound,
    http: 404,
  }
  constructor(path: string, cause: Error) {
    super(FedFileError.info, `${path} cannot be opened`, { why: cause.message, details: { path }, cause })
  }
}

export class PlanChangedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-061',
    title: 'Plan is not the approved one',
    meaning: 'The plan of a job is another than the one that this site approved. Nothing is computed or sent.',
    remedy: 'Read the plan, and approve it with `weft fed approve JOB` if it is what you want.',
    exit: EXIT.denied,
    http: 409,
  }
  constructor(job: string, approved: string | undefined, found: string) {
    const what = approved === undefined ? 'nobody here has approved it' : `${approved.slice(0, 16)} was approved`
    super(PlanChangedError.info, `the plan of job ${job} is ${found.slice(0, 16)}, and ${what}`, {
      details: { job, approved, found },
    })
  }
}

export class JobUnknownError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-062',
    title: 'No such job',
    meaning: 'Neither this peer nor any peer that it reaches knows the federation that was named.',
    remedy: 'Look at `weft fed status`; a peer that knows the job has to be connected when you join.',
    exit: EXIT.notFound,
    http: 404,
  }
  constructor(job: string) {
    super(JobUnknownError.info, `there is no job "${job}"`, { details: { job } })
  }
}

export class JobStateError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-063',
    title: 'Not now',
    meaning: 'The job is in a state in which this cannot be done.',
    remedy: 'Look at `weft fed status JOB`: it says what the job waits for.',
    exit: EXIT.usage,
    http: 409,
  }
  constructor(job: string, why: string) {
    super(JobStateError.info, `job ${job}: ${why}`, { details: { job } })
  }
}

export class JobRefusedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-064',
    title: 'Job refused',
    meaning: 'A job, or a message about it, is not signed by whom it names, or names members that are none.',
    remedy: 'Fetch it again from its author; if it stays so, somebody has changed it.',
    exit: EXIT.denied,
    http: 403,
  }
  constructor(job: string, why: string) {
    super(JobRefusedError.info, `job ${job}: ${why}`, { details: { job } })
  }
}

export class JobDamagedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-070',
    title: 'A job in the home is damaged',
    meaning: 'A file of the job cannot be read, or is not what this peer wrote. It takes no part in the job meanwhile.',
    remedy:
      'Put the folder of the job, in state/federated, back from a backup. Without one, leave the job to the others.',
    exit: EXIT.integrity,
    http: 500,
  }
  constructor(path: string, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause)
    super(JobDamagedError.info, `the job in ${path} cannot be read`, { why, details: { path }, cause })
  }
}

export class SiteRecordsError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-065',
    title: 'Site has too few records',
    meaning: 'The data of this site has no row for training, or the sites together have fewer than the plan asks for.',
    remedy: 'Look at the split of the plan and the rows of the data.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(site: string, why: string) {
    super(SiteRecordsError.info, `site ${site}: ${why}`, { details: { site } })
  }
}

export class RoundAbortedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-066',
    title: 'Round ended without a sum',
    meaning: 'A round was given up: too few members, a refusal, or an aggregator that is gone. Nothing was published.',
    remedy: 'Nothing: the next round begins by itself. If it happens again and again, `weft fed log JOB` says why.',
    exit: EXIT.unexpected,
    http: 503,
  }
  constructor(round: number, stage: string, why: string, cause?: unknown) {
    super(RoundAbortedError.info, `round ${round}, ${stage}: ${why}`, { details: { round, stage }, cause })
  }
}

export class TrainerError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-067',
    title: 'Local training failed',
    meaning: 'Training at this site gave no usable update: the program failed, or a value is not finite.',
    remedy: 'Look at the message; a smaller learning rate is the usual cure for values that are not finite.',
    exit: EXIT.unexpected,
    http: 500,
  }
  constructor(site: string, why: string, cause?: unknown) {
    super(TrainerError.info, `site ${site}: ${why}`, { details: { site }, cause })
  }
}

export class JobAmbiguousError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-068',
    title: 'Several jobs of that name',
    meaning:
      'Different jobs have the name, here or at the peers that were asked. Nothing was done: joining is saying yes to one plan.',
    remedy:
      'Name it by its id: `weft fed status` lists those of this peer, and the author of a job knows it. `join` also takes `--hash` and the hash of its plan.',
    exit: EXIT.denied,
    http: 409,
  }
  constructor(name: string, jobs: readonly { readonly job: string; readonly plan_hash: string }[]) {
    const each = jobs.slice(0, 10).map(({ job, plan_hash: hash }) => `${job} with plan ${hash}`)
    const listed = each.length < 2 ? '' : `: ${each.join('; ')}`
    super(JobAmbiguousError.info, `there are different jobs named "${name}"${listed}`, {
      details: { name },
    })
  }
}

export class MessageSizeError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-069',
    title: 'Model too large for a round',
    meaning: 'A message of a federation, the state that late members fetch mostly, would be larger than one may be.',
    remedy: 'Agree on a smaller model, on fewer members that see each update, or on a strategy that carries less over.',
    exit: EXIT.usage,
    http: 400,
  }
  /** @param what of which the message is */
  constructor(what: string, bytes: number, most: number) {
    super(MessageSizeError.info, `"${what}" takes ${bytes} bytes, and ${most} are the most`, {
      details: { what, bytes, most },
    })
  }
}

export class BaseModelError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-080',
    title: 'Base model of the plan not here',
    meaning:
      'The plan begins with a model that each site holds itself (a language model beside which an adapter is trained, or an ONNX file), and this site holds another one, part of it, or none. Nothing leaves the site.',
    remedy:
      'Bring the language model in with `weft import` and compare its digest (`weft show MODEL`) with that of the plan; of an ONNX file the data file names the path as `model`, and its SHA-256 is the digest.',
    exit: EXIT.notFound,
    http: 409,
  }
  constructor(
    site: string,
    { name, digest }: { readonly name: string; readonly digest: string },
    why: string,
    cause?: unknown,
  ) {
    super(BaseModelError.info, `site ${site} does not hold ${name} with the digest ${digest.slice(0, 16)}: ${why}`, {
      details: { site, model: name, digest },
      cause,
    })
  }
}

export class SumLostError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-085',
    title: 'Result of a signed sum is lost',
    meaning:
      'A sum was signed, nobody who knows its result has come back in the time that the plan gives, and without noise no other may be made from the same model. The job ends at this site; its last model stands.',
    remedy:
      'Take the last model out with `weft fed export JOB`, and create another job with those who are left. `weft fed approve JOB` waits once more.',
    exit: EXIT.unexpected,
    http: 409,
  }
  constructor(job: string, missing: readonly string[], waited: string) {
    const who = missing.length === 0 ? 'somebody of those who signed it' : missing.join(', ')
    super(SumLostError.info, `job ${job}: a sum was signed, and its result was waited for for ${waited}, from ${who}`, {
      details: { job, missing },
    })
  }
}

/** Too few of a group are there: nothing of it leaves a site, and each goes on with its own model. */
export class GossipGroupError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-088',
    title: 'Group of a round too small',
    meaning:
      'Fewer members of a gossip group are there than its secure sum takes. Nothing of it was sent; each of them goes on with its own model.',
    remedy:
      'The next round deals other groups. Larger groups lose more members without being left out: "gossip":{"group":N}.',
    exit: EXIT.noResources,
    http: 409,
  }
  constructor(group: string, here: number, least: number) {
    super(GossipGroupError.info, `${group}: ${here} members are there, and ${least} are the least`, {
      details: { group, here, least },
    })
  }
}

/** Of asynchronous rounds: so many were made while it was trained that it does not count any more. */
export class UpdateTooOldError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-089',
    title: 'Update too old',
    meaning:
      'Others have made more rounds since the model that an update was trained from than the plan lets it be old. It is in no sum; the site trains anew from the model that stands.',
    remedy:
      'Give this site less to do in a round (fewer records, or `local.steps` of the plan), or create a job whose `buffer.oldest` is larger.',
    exit: EXIT.noResources,
    http: 409,
  }
  constructor(job: string, age: number, oldest: number) {
    super(UpdateTooOldError.info, `job ${job}: an update is ${age} rounds old, and ${oldest} are the most`, {
      details: { job, age, oldest },
    })
  }
}

export const FED_PLAN_ERRORS: readonly ErrorInfo[] = [
  FedPlanError.info,
  FedFileError.info,
  PlanChangedError.info,
  JobUnknownError.info,
  JobStateError.info,
  JobRefusedError.info,
  JobDamagedError.info,
  SiteRecordsError.info,
  RoundAbortedError.info,
  TrainerError.info,
  JobAmbiguousError.info,
  MessageSizeError.info,
  BaseModelError.info,
  SumLostError.info,
  GossipGroupError.info,
  UpdateTooOldError.info,
]
