"""The trainers: mixins over LLaMA-Factory's own trainer class, hooked into its training loop without copying it.

The loop on the left is transformers'. On the right is what is added to it, as MODULE.HOOK of this package, in the order
in which it happens. `compose` mixes in what a run's strategies need: `planned`, where the planner decides the order of
samples; `weight`, or `losses` below it, where somebody needs token losses; and `checkpoints`; over `signals` and
`base`::

    Trainer(...)                      base.__init__          samples carry their ids
                                      planned.__init__       the planner; the schedule says how many steps there are
                                      losses.__init__        token losses, where somebody needs them
    train()
        _load_from_checkpoint         checkpoints._load_from_checkpoint   the weights are those that were saved
                                      judge._load_from_checkpoint   likewise, in a run that only judges
        get_train_dataloader          planned.get_train_dataloader   gives a length; nothing reads it
        on_train_begin                base.begin             the number of steps is final
                                      checkpoints.begin      take up the checkpoint's state, wait for SIGTERM
                                      judge.begin            judge the pool, in place of all that follows
        for each epoch
            _run_epoch                checkpoints._run_epoch   nothing, where the checkpoint was the run's last
            for each optimizer step
                get_batch_samples     weight.get_batch_samples    keep the window at hand
                                      base.get_batch_samples      where an interval begins, decide first:
                                          losses.is_awaited       strategies that learn hear of all steps before it
                                          checkpoints.deciding    keep the state of before, for SIGTERM
                                          planned.begin_interval  the planner asks the mixer, then the selector
                                          signals.signals         they may ask about the model
                                          agreement.agree         all ranks have the same plan
                                          planned._fed_from       from here on, feed batches of the plan
                                          planned._reasons        why: losses, and the target samples that are helped
                                          planned._record         journal the decision and its scores; then some texts
                                          preparing.begin_interval  let weighters prepare
                                      losses.get_batch_samples    ask reference models about the samples ahead
                                          checkpoints.passing     may be cut short by SIGTERM
                                      planned.source              the plan's batches, not the stock loader's
                                      preparing.get_batch_samples   let weighters prepare that a resumed run is new to
                for each micro-batch
                    training_step     weight.training_step   weigh the window first, if samples are compared
                                      losses.training_step   this is no evaluation
                                      base.training_step     which micro-batch this is
                        compute_loss      weight.compute_loss    embeddings are taken from the forward, where needed
                                          losses.compute_loss    so are losses, where whole logits are too large
                        compute_loss_func   losses._token_loss
                                          losses.micro_batch     what reference models said
                                          weight.weights         ask the weighters, for all ranks' losses
                        backward
                clip, optimizer.step, lr_scheduler.step
                on_step_end           base.finish_step       journal which samples were trained on
                                      losses.finish_step     leave the losses for the strategies that observe
                                      weight.finish_step     let go of the window
                                      checkpoints.finish_step   a rank was asked to end, as hosts tell each other about
                                                             once a second: have this step saved
                                      losses.settle_in_time  where the step logs, saves or evaluates:
                                          base.settle            read the ledger of what all ranks' steps left
                                          weight.faults          weights, or losses, were no numbers at a step; end
                                          base.faults            a run whose weights are none; all ranks weighed alike
                                          losses.take_up         show the losses to the strategies that observe
                                          base.take_up           add up domains and weights
                                          weight.take_up         keep a few samples with the weights of their tokens
                log                   base.log               journal what happened since the last log, by domain; add
                                                             its figures, and the means of what strategies noted
                evaluate              base.evaluate          no time of training; nor is that of _save_checkpoint
                    prediction_step   losses.prediction_step   whether logits are wanted
                                      losses._token_loss     no weights
                _save_checkpoint      checkpoints._save_checkpoint   settle; the run's state first, the seal last;
                                          checkpoints.state_of_run   the list in `carried`
                                                             and end here, if asked to
        _load_best_model              complete._load_best_model   likewise
        on_train_end                  base.finish            settle; journal the end
                                      signals.finish         drop partial results
                                      checkpoints.finish     SIGTERM is the process's own again

Values of tensors are asked for in `settle` alone, where passes of signals end, and for a checkpoint's digests: each
time the host waits for the device. What happens between two logs, `since_log` collects; what a run is, `active_run`
holds, and where it stands `standing` tells; what its checkpoint is compared with, `provenance` and `trained_weights`;
files, `checkpoint_files`; which of them go, `rotation`.
"""
