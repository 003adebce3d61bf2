//! Every text with its name. A text is added here and nowhere else; `texts_golden.txt` shows each as people read it.

/// Every text with its name. A line that is one empty placeholder is left out.
pub const CATALOGUE: &[(&str, &str)] = &[
    (
        "M1",
        "⚠ {who}, please confirm.\n{head}\n{params}\n{impact}\nRule: {rules}\nFingerprint {fp}. Nothing has been started.\n\
         Confirm: {prefix}confirm {code}{hint}     Stop: {prefix}deny {code}     ({left} left, until {time})",
    ),
    (
        "M2",
        "⚠ {requester} wants to run {action}.\n{params}\n{impact}\nRule: {rules}. Needs {need}{excluded}.\n\
         Approve: {prefix}confirm {code}{hint}     Refuse: {prefix}deny {code} <reason>     Details: {prefix}show {code}\n\
         Fingerprint {fp}. ({left} left, until {time})",
    ),
    ("M3", "✔ {by} approved {code} ({n} of {m}). {left} left."),
    (
        "M3-look",
        "✔ {by} approved {code} ({n} of {m}). I look whether the dry run still shows the same; it starts if it does.",
    ),
    ("M4", "▶ Confirmed by {by}. Started {action} as {id}. {url}"),
    ("M4-edit", "▶ Confirmed by {by} at {time}."),
    ("M5", "✖ {by} refused {code}: {reason}. {action} was not run."),
    ("M5-open", "✖ {by} refused {code}: {reason}. {n} of {m} refusals end it. {left} left."),
    ("M6", "⌛ No confirmation for {code} within {timeout}. {action} was not run. Ask again: {command}"),
    ("M6-plain", "⌛ No confirmation for {code} within {timeout}. {action} was not run."),
    (
        "M6-undelivered",
        "⌛ Nobody could be asked about {code} within {timeout}: question not delivered. {action} was not run.",
    ),
    ("M7", "↩ {by} withdrew {code}. {action} was not run."),
    ("M7-cause", "↩ {code} was withdrawn: {cause}. {action} was not run."),
    ("M7-vote", "↩ {by} took back the answer to {code} ({n} of {m}). {left} left."),
    ("M8", "⛔ {code} is void: {cause}. {action} was not run. Ask again to see the current version."),
    ("M9", "⌛ Too late: {code} ended {delta} before your answer ({state}). {action} was not run."),
    ("M10", "I do not know the code “{input}”. Codes look like K7Q-4M9. Open here: {codes}"),
    ("M11", "There is no open confirmation {code}."),
    ("M12", "{who}, you cannot approve {code}: it needs {set}."),
    ("M12-self", "{who}, you asked for it, so somebody else must approve {code}."),
    ("M12-editor", "{who}, you last edited it, so somebody else must approve {code}."),
    ("M12-withdraw", "{who}, only {requester} or an administrator can withdraw {code}."),
    ("M12-agent", "Agents cannot answer this confirmation: it needs {set}."),
    (
        "M12-label",
        "{who}, this bot cannot prove who you are, so your answer to {code} does not count. Use the command line, the web page or a native chat adapter.",
    ),
    ("M12-way", "{code} cannot be answered this way. It can be answered by: {ways}."),
    ("M12-reason", "A reason is needed: {prefix}{word} {code} <reason>"),
    ("M12-response", "The answer to {code} does not fit: {reason}"),
    ("M12-changed", "What you answered is not what {code} asks. Look at it again: {prefix}show {code}"),
    ("M13", "You already approved {code}. ({n} of {m})"),
    ("M13-denied", "You already refused {code}."),
    ("M13-none", "You have not answered {code}."),
    ("M13-final", "{code} is already finished: {state} by {by} at {time}."),
    ("M13-final-nobody", "{code} is already finished: {state} at {time}."),
    (
        "M14",
        "{action} needs {m} of {set}, but only {n} such people exist besides you. It was not started. Ask an administrator.",
    ),
    (
        "M14-ways",
        "{action} needs a confirmation that nobody can give: its rules allow no way to answer in common. It was not started. Ask an administrator.",
    ),
    ("M15", "The same request is already waiting as {code} ({left} left)."),
    ("M16", "⏳ {code} still waits for {missing}: {action}. {left} left."),
    ("M17", "⏫ {code} now also asks {set}: nobody answered for {delta}."),
    (
        "M18",
        "{who}, I do not know your squall account yet. Link it: {url} (or {prefix}link), then confirm {code} again. {left} left.",
    ),
    (
        "M18-plain",
        "{who}, I do not know your squall account yet. Type {prefix}link, then confirm {code} again. {left} left.",
    ),
    ("M19", "This needs a second factor. Open {url} or send me in private: confirm {code} <6 digits>."),
    ("M19-plain", "This needs a second factor. Send me in private: confirm {code} <6 digits>."),
    ("M19-public", "Never post factors in a channel. That code is now useless."),
    ("M20", "Type the confirmation with the name: {prefix}confirm {code} {hint}"),
    ("M20-wrong", "That does not match. Nothing was started."),
    ("M21", "Too many wrong codes. I ignore confirmations from you for {delta}."),
    (
        "M22",
        "🚨 BREAK GLASS by {by}: {action} started as {id} without {missing}. Reason: {reason}. Review until {date}: {url}",
    ),
    ("M22-none", "{code} has no break glass."),
    ("M22-reason", "Breaking the glass needs a reason of at least {n} characters. Nothing was started."),
    ("M22-limit", "{who}, you broke the glass {n} times within a day, or a review is overdue. Nothing was started."),
    ("M23", "I was away for {delta}. {code} is still open, {left} left."),
    ("M27", "{rows}"),
    ("M27-none", "Nothing waits for you."),
    (
        "M27-collected",
        "You were asked often within an hour, so these are told together:\n{rows}\nAnswer with {prefix}confirm CODE or {prefix}deny CODE; {prefix}show CODE tells more.",
    ),
    ("two-codes", "One code per message, please. Nothing was answered."),
    ("no-question", "I do not know which question you mean. Answer in its thread, or type {prefix}confirm CODE."),
    ("not-stored", "I could not store your answer, nothing was started."),
    ("open-limit", "Too many confirmations wait already ({n} {scope}). It was not started."),
];
